"""Tickets, each with the time until which it is good."""

import secrets
import time

from .settings import TICKET_SECONDS
from .tokens import Grant

tickets: dict[str, tuple[float, Grant]] = {}


def sell(grant: Grant) -> str:
    now = time.monotonic()
    for old in [ticket for ticket, (deadline, _) in tickets.items() if deadline <= now]:
        del tickets[old]
    ticket = secrets.token_hex(16)
    tickets[ticket] = (now + TICKET_SECONDS, grant)
    return ticket


def use(ticket: str) -> Grant | None:
    deadline, grant = tickets.pop(ticket, (0, None))
    return grant if grant and time.monotonic() < deadline and grant.is_good else None
