"""What an access token says, and how long it counts."""

import time
from dataclasses import dataclass

import jwt

from .settings import SECRET_KEY, TOKEN_SECONDS
from .users import USERS, User

logged_out: dict[str, float] = {}


@dataclass(frozen=True)
class Principal:
    """The authenticated user of a token, or of a ticket that was issued for it. Times are in seconds since 1970."""

    user: User
    expires_at: float
    issued_at: float

    def counts(self) -> bool:
        return time.time() < self.expires_at and self.issued_at > logged_out.get(self.user.name, 0)


def issue(user: User) -> str:
    now = time.time()
    claims = {"sub": user.name, "aud": "chat", "exp": int(now + TOKEN_SECONDS), "iat": now}
    return jwt.encode(claims, SECRET_KEY, "HS256")


def decode(token: str) -> Principal | None:
    """Return the principal of a token, or None if it isn't valid."""
    try:
        claims = jwt.decode(
            token,
            SECRET_KEY,
            algorithms=["HS256"],
            audience="chat",
            options={"require": ["sub", "aud", "exp", "iat"]},
        )
    except jwt.PyJWTError:
        return None
    if claims["sub"] not in USERS:
        return None
    principal = Principal(USERS[claims["sub"]], claims["exp"], claims["iat"])
    return principal if principal.counts() else None
