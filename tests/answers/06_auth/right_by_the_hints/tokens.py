"""What an access token says, and how long it counts."""

import time
from dataclasses import dataclass

import jwt

from .settings import SECRET_KEY, TOKEN_SECONDS
from .users import USERS, User

logged_out: dict[str, float] = {}


@dataclass(frozen=True)
class Grant:
    """What a token stands for, and a ticket that was bought with it."""

    user: User
    expires: float
    issued: float

    def counts(self) -> bool:
        return time.time() < self.expires and self.issued > logged_out.get(self.user.name, 0)


def issue(user: User) -> str:
    now = time.time()
    claims = {"sub": user.name, "aud": "chat", "exp": int(now + TOKEN_SECONDS), "iat": now}
    return jwt.encode(claims, SECRET_KEY, "HS256")


def read(token: str) -> Grant | None:
    """What a token stands for, or None if it does not count."""
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
    grant = Grant(USERS[claims["sub"]], claims["exp"], claims["iat"])
    return grant if grant.counts() else None
