"""A ticket is a JWT too, for the audience ticket. Used ones are remembered until they have expired."""

import time
import uuid
from datetime import UTC, datetime, timedelta

import jwt

from . import tokens
from .settings import SECRET_KEY, TICKET_SECONDS
from .tokens import Grant
from .users import USERS

_used: dict[str, float] = {}


def sell(grant: Grant) -> str:
    claims = {
        "aud": "ticket",
        "jti": uuid.uuid4().hex,
        "sub": grant.user.name,
        "issued": grant.issued,
        "expires": grant.expires,
        "exp": datetime.now(UTC) + timedelta(seconds=TICKET_SECONDS),
    }
    return jwt.encode(claims, SECRET_KEY, "HS256")


def use(ticket: str) -> Grant | None:
    now = time.time()
    for jti in [jti for jti, until in _used.items() if until < now]:
        del _used[jti]
    try:
        claims = jwt.decode(
            ticket, SECRET_KEY, ["HS256"], audience="ticket", options={"require": ["aud", "jti", "sub", "exp"]}
        )
    except jwt.PyJWTError:
        return None
    if claims["jti"] in _used:
        return None
    _used[claims["jti"]] = claims["exp"]
    grant = Grant(USERS[claims["sub"]], claims["issued"], claims["expires"])
    return grant if tokens.is_good(grant) else None
