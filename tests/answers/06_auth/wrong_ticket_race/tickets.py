"""Tickets, for clients that cannot send a header with a handshake."""

import asyncio
import secrets

from .settings import TICKET_SECONDS
from .tokens import Grant

_tickets: dict[str, Grant] = {}


async def sell(grant: Grant) -> str:
    ticket = secrets.token_urlsafe(32)
    _tickets[ticket] = grant
    asyncio.get_running_loop().call_later(TICKET_SECONDS, _tickets.pop, ticket, None)
    return ticket


async def use(ticket: str) -> Grant | None:
    """What a ticket stands for, or None if it does not count. It is used up, whatever comes of it."""
    grant = _tickets.get(ticket)
    # As a database would make it wait.
    await asyncio.sleep(0.01)
    _tickets.pop(ticket, None)
    return grant if grant and grant.is_good else None
