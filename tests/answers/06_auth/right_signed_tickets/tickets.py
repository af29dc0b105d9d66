"""A ticket is a JWT too, for the audience ticket. Used ones are remembered until they have expired."""

import time
import uuid
from datetime import UTC, datetime, timedelta

import jwt

from . import tokens
from .settings import SECRET_KEY, TICKET_SECONDS
from .tokens import Principal
from .users import USERS

_used: dict[str, float] = {}


def issue(principal: Principal) -> str:
    claims = {
        "aud": "ticket",
        "jti": uuid.uuid4().hex,
        "sub": principal.user.name,
        "issued": principal.issued_at,
        "expires": principal.expires_at,
        "exp": datetime.now(UTC) + timedelta(seconds=TICKET_SECONDS),
    }
    return jwt.encode(claims, SECRET_KEY, "HS256")


def redeem(ticket: str) -> Principal | None:
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
    principal = Principal(USERS[claims["sub"]], claims["issued"], claims["expires"])
    return principal if tokens.is_valid(principal) else None
