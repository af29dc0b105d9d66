"""Step 06, lesson: what an access token says, and how it is read."""

import os
import secrets
from datetime import UTC, datetime, timedelta

import jwt

# Without the variable it is another key at each start, and the tokens of the run before are worth nothing.
SECRET_KEY = os.environ.get("SECRET_KEY") or secrets.token_urlsafe(32)
TOKEN_SECONDS = float(os.environ.get("TOKEN_SECONDS") or "900")
ALGORITHM = "HS256"
AUDIENCE = "chat"


def issue(name: str) -> str:
    expires = datetime.now(UTC) + timedelta(seconds=TOKEN_SECONDS)
    return jwt.encode({"sub": name, "aud": AUDIENCE, "exp": expires}, SECRET_KEY, ALGORITHM)


def read(token: str) -> str | None:
    """The name in a token, or None if it does not count."""
    try:
        claims = jwt.decode(
            token,
            SECRET_KEY,
            # Never the one that the token names: that may be none.
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            # A claim that is missing is not looked at otherwise.
            options={"require": ["sub", "aud", "exp"]},
        )
    except jwt.PyJWTError:
        return None
    name: str = claims["sub"]
    return name
