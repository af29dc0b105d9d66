"""Tokens. Each holds the generation of its user, and a logout begins a new one."""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import jwt
from pydantic import BaseModel, ValidationError

from .settings import SECRET_KEY, TOKEN_SECONDS
from .users import USERS, User

generations: Counter[str] = Counter()


class Claims(BaseModel):
    sub: str
    exp: int
    generation: int


@dataclass(frozen=True)
class Principal:
    user: User
    expires_at: datetime
    generation: int

    @property
    def is_valid(self) -> bool:
        return self.generation == generations[self.user.name] and datetime.now(UTC) < self.expires_at


def issue(user: User) -> str:
    expires = datetime.now(UTC) + timedelta(seconds=TOKEN_SECONDS)
    claims = {"sub": user.name, "aud": "chat", "exp": expires, "generation": generations[user.name]}
    return jwt.encode(claims, SECRET_KEY, "HS256")


def decode(token: str) -> Principal | None:
    options: jwt.types.Options = {"require": ["sub", "aud", "exp"]}
    try:
        decoded = jwt.decode(token, SECRET_KEY, ["HS256"], options, audience="chat")
        claims = Claims.model_validate(decoded)
        expires = datetime.fromtimestamp(claims.exp, UTC)
    except (jwt.PyJWTError, ValidationError, ValueError, OverflowError, OSError):
        return None
    if (user := USERS.get(claims.sub)) is None:
        return None
    principal = Principal(user, expires, claims.generation)
    return principal if principal.is_valid else None
