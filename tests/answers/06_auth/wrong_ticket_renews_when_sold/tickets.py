"""Tickets, for clients that cannot send a header with a handshake."""

import asyncio
import secrets
import time
from dataclasses import replace

from .settings import TICKET_SECONDS, TOKEN_SECONDS
from .tokens import Grant

_tickets: dict[str, Grant] = {}


async def sell(grant: Grant) -> str:
    ticket = secrets.token_urlsafe(32)
    _tickets[ticket] = replace(grant, expires=time.time() + TOKEN_SECONDS)
    asyncio.get_running_loop().call_later(TICKET_SECONDS, _tickets.pop, ticket, None)
    return ticket


def use(ticket: str) -> Grant | None:
    """What a ticket stands for, or None if it does not count. It is used up, whatever comes of it."""
    # One step without an await: of two uses at once, one finds it.
    grant = _tickets.pop(ticket, None)
    return grant if grant and grant.is_good else None
