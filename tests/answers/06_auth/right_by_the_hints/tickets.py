"""Tickets, for clients that cannot send a header with a handshake."""

import asyncio
import secrets

from .settings import TICKET_SECONDS
from .tokens import Grant

tickets: dict[str, Grant] = {}


async def sell(grant: Grant) -> str:
    ticket = secrets.token_urlsafe(32)
    tickets[ticket] = grant
    asyncio.get_running_loop().call_later(TICKET_SECONDS, tickets.pop, ticket, None)
    return ticket


def use(ticket: str) -> Grant | None:
    """What a ticket stands for, or None if it does not count."""
    grant = tickets.pop(ticket, None)
    return grant if grant and grant.counts() else None
