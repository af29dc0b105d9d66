"""Tickets, for clients that cannot send a header with a handshake."""

import time

import jwt

from .settings import SECRET_KEY, TICKET_SECONDS
from .tokens import ALGORITHM, AUDIENCE, Grant, read

_used: set[str] = set()


async def sell(grant: Grant) -> str:
    ends = time.time() + TICKET_SECONDS
    claims = {"sub": grant.user.name, "aud": AUDIENCE, "iat": grant.issued, "exp": grant.expires, "ends": ends}
    return jwt.encode(claims, SECRET_KEY, ALGORITHM)


def use(ticket: str) -> Grant | None:
    """What a ticket stands for, or None if it does not count. It is used up, whatever comes of it."""
    grant = read(ticket)
    if grant is None or ticket in _used:
        return None
    _used.add(ticket)
    ends: float = jwt.decode(ticket, options={"verify_signature": False}).get("ends", 0)
    return grant if time.time() < ends else None
