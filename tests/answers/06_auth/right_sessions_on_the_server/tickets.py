"""A ticket is one of the tickets of a session."""

import asyncio
import secrets
import time

from .settings import TICKET_SECONDS
from .tokens import Session, sessions


def issue(session: Session) -> str:
    ticket = secrets.token_urlsafe()
    session.tickets.add(ticket)
    asyncio.get_running_loop().call_later(TICKET_SECONDS, session.tickets.discard, ticket)
    return ticket


def redeem(ticket: str) -> Session | None:
    for session in sessions.values():
        if ticket in session.tickets:
            session.tickets.remove(ticket)
            return session if time.time() < session.expires_at else None
    return None
