"""Tickets, for clients that cannot send a header with a handshake."""

import asyncio
import secrets

from .settings import TICKET_SECONDS
from .tokens import Principal

tickets: dict[str, Principal] = {}


async def issue(principal: Principal) -> str:
    ticket = secrets.token_urlsafe(32)
    tickets[ticket] = principal
    asyncio.get_running_loop().call_later(TICKET_SECONDS, tickets.pop, ticket, None)
    return ticket


def redeem(ticket: str) -> Principal | None:
    """Return the principal of a ticket, or None if it isn't valid."""
    principal = tickets.pop(ticket, None)
    return principal if principal and principal.counts() else None
