"""Step 06, lesson: issue and decode access tokens."""

import os
import secrets
from datetime import UTC, datetime, timedelta

import jwt

# Without the variable, each start generates a new key, so earlier tokens become invalid.
SECRET_KEY = os.environ.get("SECRET_KEY") or secrets.token_urlsafe(32)
TOKEN_SECONDS = float(os.environ.get("TOKEN_SECONDS") or "900")
ALGORITHM = "HS256"
AUDIENCE = "chat"


def issue(name: str) -> str:
    expires = datetime.now(UTC) + timedelta(seconds=TOKEN_SECONDS)
    return jwt.encode({"sub": name, "aud": AUDIENCE, "exp": expires}, SECRET_KEY, ALGORITHM)


def decode(token: str) -> str | None:
    """Return the name in a token, or None if the token isn't valid."""
    try:
        claims = jwt.decode(
            token,
            SECRET_KEY,
            # Never the algorithm in the token's header: an attacker can set that to none.
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            # Without this, PyJWT accepts a token that lacks a claim.
            options={"require": ["sub", "aud", "exp"]},
        )
    except jwt.PyJWTError:
        return None
    name: str = claims["sub"]
    return name
