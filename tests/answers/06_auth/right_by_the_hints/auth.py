"""Logging in and out, and what a request or a handshake must show to get in."""

import time
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Response, WebSocket, status
from fastapi.concurrency import run_in_threadpool
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm

from . import tickets, tokens
from .manager import Manager
from .settings import ALLOWED_ORIGINS
from .tokens import Grant
from .users import NOBODYS_HASH, USERS, hasher

bearer = OAuth2PasswordBearer(tokenUrl="token", auto_error=False)
# The token of a request or a handshake, or None if there is no header Authorization: Bearer.
Bearer = Annotated[str | None, Depends(bearer)]
Form = Annotated[OAuth2PasswordRequestForm, Depends()]


def refused(detail: str) -> HTTPException:
    return HTTPException(status.HTTP_401_UNAUTHORIZED, detail, headers={"WWW-Authenticate": "Bearer"})


async def get_grant(token: Bearer) -> Grant:
    grant = tokens.read(token) if token else None
    if grant is None:
        raise refused("An access token is needed, and it must be good")
    return grant


async def not_stored(response: Response) -> None:
    response.headers["Cache-Control"] = "no-store"


Holder = Annotated[Grant, Depends(get_grant)]
router = APIRouter(dependencies=[Depends(not_stored)])


@router.post("/token")
async def log_in(form: Form) -> dict[str, str]:
    user = USERS.get(form.username)
    password_hash = user.password_hash if user else NOBODYS_HASH
    good = await run_in_threadpool(hasher.verify, form.password, password_hash)
    if user is None or not good:
        raise refused("wrong name or password")
    return {"access_token": tokens.issue(user), "token_type": "bearer"}


async def get_visitor(websocket: WebSocket, room_id: str, token: Bearer, ticket: str | None = None) -> Grant:
    origin = websocket.headers.get("origin")
    if origin is not None and origin not in ALLOWED_ORIGINS:
        raise HTTPException(403)
    grant = None
    if token is not None:
        grant = tokens.read(token)
    elif ticket is not None:
        grant = tickets.use(ticket)
    if grant is None:
        raise refused("no good token or ticket")
    if room_id not in grant.user.rights:
        raise HTTPException(403)
    return grant


@router.post("/logout", status_code=204)
async def log_out(grant: Holder, manager: Manager) -> None:
    tokens.logged_out[grant.user.name] = time.time()
    manager.end(grant.user.name)


@router.post("/ticket")
async def buy_ticket(grant: Holder) -> dict[str, str]:
    return {"ticket": await tickets.sell(grant)}
