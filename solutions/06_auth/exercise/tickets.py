"""Step 06, solution: tickets, for clients that can't send a header in the handshake."""

import asyncio
import secrets

from .settings import TICKET_SECONDS
from .tokens import Principal

_tickets: dict[str, Principal] = {}


async def issue(principal: Principal) -> str:
    ticket = secrets.token_urlsafe(32)
    _tickets[ticket] = principal
    asyncio.get_running_loop().call_later(TICKET_SECONDS, _tickets.pop, ticket, None)
    return ticket


def redeem(ticket: str) -> Principal | None:
    """Return the principal of a ticket, or None if it isn't valid. Either way, the ticket can't be redeemed again."""
    # No await in between, so a ticket that's sent twice is redeemed once.
    principal = _tickets.pop(ticket, None)
    return principal if principal and principal.is_valid else None
