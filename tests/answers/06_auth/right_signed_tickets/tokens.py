"""What an access token says, and how long it counts."""

import math
import time
from dataclasses import dataclass

import jwt

from .settings import SECRET_KEY, TOKEN_SECONDS
from .users import USERS, User

ALGORITHM = "HS256"
AUDIENCE = "chat"

# When each user last logged out. In memory only, like all of this server.
_logged_out: dict[str, float] = {}


@dataclass(frozen=True)
class Grant:
    """What a token stands for, and a ticket that was bought with it."""

    user: User
    issued: float
    expires: float


def is_good(grant: Grant) -> bool:
    return time.time() < grant.expires and grant.issued > _logged_out.get(grant.user.name, 0)


def issue(user: User) -> str:
    now = time.time()
    # PyJWT reads an exp without its fraction, so it is a whole number. The fraction of iat tells a login
    # from a logout in the same second.
    claims = {"sub": user.name, "aud": AUDIENCE, "iat": now, "exp": math.ceil(now + TOKEN_SECONDS)}
    return jwt.encode(claims, SECRET_KEY, ALGORITHM)


def read(token: str) -> Grant | None:
    """What a token stands for, or None if it does not count."""
    try:
        claims = jwt.decode(
            token,
            SECRET_KEY,
            # Never the one that the token names: that may be none.
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            # A claim that is missing is not looked at otherwise.
            options={"require": ["sub", "aud", "iat", "exp"]},
        )
        grant = Grant(USERS[claims["sub"]], float(claims["iat"]), float(claims["exp"]))
    except (jwt.PyJWTError, KeyError, OverflowError):
        return None
    return grant if is_good(grant) else None


def revoke_all(user: User) -> None:
    """From now on, no token issued to this user so far counts, nor a ticket that was bought with it."""
    _logged_out[user.name] = time.time()
