"""Tickets, each with the time until which it is good."""

import secrets
import time

from .settings import TICKET_SECONDS
from .tokens import Principal

tickets: dict[str, tuple[float, Principal]] = {}


def issue(principal: Principal) -> str:
    now = time.monotonic()
    for old in [ticket for ticket, (deadline, _) in tickets.items() if deadline <= now]:
        del tickets[old]
    ticket = secrets.token_hex(16)
    tickets[ticket] = (now + TICKET_SECONDS, principal)
    return ticket


def redeem(ticket: str) -> Principal | None:
    deadline, principal = tickets.pop(ticket, (0, None))
    return principal if principal and time.monotonic() < deadline and principal.is_valid else None
