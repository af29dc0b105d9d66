"""Sessions. A token is good as long as its session is known here."""

import asyncio
import time
import uuid
from dataclasses import dataclass, field

import jwt
from fastapi import WebSocket

from .settings import SECRET_KEY, TOKEN_SECONDS
from .users import USERS, User


@dataclass(eq=False)
class Session:
    user: User
    expires_at: int
    tickets: set[str] = field(default_factory=set)
    sockets: set[WebSocket] = field(default_factory=set)
    ended: asyncio.Event = field(default_factory=asyncio.Event)


sessions: dict[str, Session] = {}


def issue(user: User) -> str:
    now = time.time()
    for jti in [jti for jti, session in sessions.items() if session.expires_at < now]:
        del sessions[jti]
    session = Session(user, int(now + TOKEN_SECONDS))
    jti = str(uuid.uuid4())
    sessions[jti] = session
    claims = {"jti": jti, "sub": user.name, "aud": "chat", "exp": session.expires_at}
    return jwt.encode(claims, SECRET_KEY, "HS256")


def decode(token: str) -> Session | None:
    try:
        required = {"require": ["jti", "sub", "aud", "exp"]}
        claims = jwt.decode(token, SECRET_KEY, algorithms=["HS256"], audience="chat", options=required)  # type: ignore
    except jwt.PyJWTError:
        return None
    session = sessions.get(claims["jti"])
    return session if session and session.user is USERS.get(claims["sub"]) else None


def end_all(user: User) -> None:
    for jti, session in list(sessions.items()):
        if session.user is user:
            del sessions[jti]
            session.tickets.clear()
            session.ended.set()
