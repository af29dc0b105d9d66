"""What an access token says, and how long it counts."""

import math
import time
from dataclasses import dataclass

import jwt

from .settings import SECRET_KEY, TOKEN_SECONDS
from .users import USERS, User

ALGORITHM = "HS256"
AUDIENCE = "chat"

# When each user last logged out, in seconds since 1970. In memory, like everything in this server.
_logged_out: dict[str, float] = {}


@dataclass(frozen=True)
class Principal:
    """The authenticated user of a token, or of a ticket that was issued for it. Times are in seconds since 1970."""

    user: User
    issued_at: float
    expires_at: float


def is_valid(principal: Principal) -> bool:
    return time.time() < principal.expires_at and principal.issued_at > _logged_out.get(principal.user.name, 0)


def issue(user: User) -> str:
    now = time.time()
    # PyJWT truncates exp to whole seconds, so round it up. iat keeps its fraction, to distinguish a login
    # from a logout in the same second.
    claims = {"sub": user.name, "aud": AUDIENCE, "iat": now, "exp": math.ceil(now + TOKEN_SECONDS)}
    return jwt.encode(claims, SECRET_KEY, ALGORITHM)


def decode(token: str) -> Principal | None:
    """Return the principal of a token, or None if it isn't valid."""
    try:
        claims = jwt.decode(
            token,
            SECRET_KEY,
            # Never the algorithm in the token's header: an attacker can set that to none.
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            # Without this, PyJWT accepts a token that lacks a claim.
            options={"require": ["sub", "aud", "iat", "exp"]},
        )
        principal = Principal(USERS[claims["sub"]], float(claims["iat"]), float(claims["exp"]))
    except (jwt.PyJWTError, KeyError, OverflowError):
        return None
    return principal if is_valid(principal) else None


def revoke_all(user: User) -> None:
    """Revoke all tokens of this user, and the tickets that were issued for them."""
    _logged_out[user.name] = time.time()
