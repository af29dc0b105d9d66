"""Logging in and out, and the way to a socket."""

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, WebSocket, WebSocketException
from fastapi.concurrency import run_in_threadpool
from fastapi.security import OAuth2PasswordRequestForm
from fastapi.security.utils import get_authorization_scheme_param
from starlette.requests import HTTPConnection

from . import tickets, tokens
from .settings import ALLOWED_ORIGINS
from .tokens import Session
from .users import DUMMY_HASH, USERS, hasher

router = APIRouter()


async def session_of_header(connection: HTTPConnection) -> Session | None:
    scheme, token = get_authorization_scheme_param(connection.headers.get("authorization"))
    return tokens.decode(token) if scheme.lower() == "bearer" else None


FromHeader = Annotated[Session | None, Depends(session_of_header)]


async def needed(session: FromHeader) -> Session:
    if session is None:
        raise HTTPException(401, "log in first", {"WWW-Authenticate": "Bearer"})
    return session


Needed = Annotated[Session, Depends(needed)]


async def at_the_door(websocket: WebSocket, room_id: str, session: FromHeader) -> Session:
    """Every refusal is a close before accept, which a client sees as HTTP 403."""
    origin = websocket.headers.get("origin")
    if origin is not None and origin not in ALLOWED_ORIGINS:
        raise WebSocketException(1008, "foreign origin")
    session = session or tickets.redeem(websocket.query_params.get("ticket", ""))
    if session is None:
        raise WebSocketException(1008, "no token and no ticket")
    if room_id not in session.user.permissions:
        raise WebSocketException(1008, "no right in this room")
    return session


AtTheDoor = Annotated[Session, Depends(at_the_door)]


@router.post("/token")
async def token(form: Annotated[OAuth2PasswordRequestForm, Depends()]) -> dict[str, str]:
    user = USERS.get(form.username)
    good = await run_in_threadpool(hasher.verify, form.password, user.password_hash if user else DUMMY_HASH)
    if not user or not good:
        raise HTTPException(401, "no", {"WWW-Authenticate": "Bearer"})
    return {"access_token": tokens.issue(user), "token_type": "bearer"}


@router.post("/ticket")
async def ticket(session: Needed) -> dict[str, str]:
    return {"ticket": tickets.issue(session)}


@router.post("/logout", status_code=204)
async def logout(session: Needed) -> None:
    tokens.end_all(session.user)
