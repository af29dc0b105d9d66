"""Logging in and out, and what a request or a handshake must show to get in."""

import time
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Response, WebSocket, status
from fastapi.concurrency import run_in_threadpool
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm

from . import tickets, tokens
from .manager import ManagerDep
from .settings import ALLOWED_ORIGINS
from .tokens import Principal
from .users import DUMMY_HASH, USERS, hasher

oauth2_scheme = OAuth2PasswordBearer(tokenUrl="token", auto_error=False)
# The token of a request or a handshake, or None without a header Authorization: Bearer.
BearerToken = Annotated[str | None, Depends(oauth2_scheme)]
LoginForm = Annotated[OAuth2PasswordRequestForm, Depends()]


def unauthorized(detail: str) -> HTTPException:
    return HTTPException(status.HTTP_401_UNAUTHORIZED, detail, headers={"WWW-Authenticate": "Bearer"})


async def get_current_principal(token: BearerToken) -> Principal:
    principal = tokens.decode(token) if token else None
    if principal is None:
        raise unauthorized("A valid access token is required")
    return principal


async def no_store(response: Response) -> None:
    response.headers["Cache-Control"] = "no-store"


CurrentPrincipal = Annotated[Principal, Depends(get_current_principal)]
router = APIRouter(dependencies=[Depends(no_store)])


@router.post("/token")
async def log_in(form: LoginForm) -> dict[str, str]:
    user = USERS.get(form.username)
    password_hash = user.password_hash if user else DUMMY_HASH
    good = await run_in_threadpool(hasher.verify, form.password, password_hash)
    if user is None or not good:
        raise unauthorized("wrong name or password")
    return {"access_token": tokens.issue(user), "token_type": "bearer"}


async def authenticate_socket(
    websocket: WebSocket, room_id: str, token: BearerToken, ticket: str | None = None
) -> Principal:
    origin = websocket.headers.get("origin")
    if origin is not None and origin not in ALLOWED_ORIGINS:
        raise HTTPException(403)
    principal = None
    if token is not None:
        principal = tokens.decode(token)
    elif ticket is not None:
        principal = tickets.redeem(ticket)
    if principal is None:
        raise unauthorized("no good token or ticket")
    if room_id not in principal.user.permissions:
        raise HTTPException(403)
    return principal


@router.post("/logout", status_code=204)
async def log_out(principal: CurrentPrincipal, manager: ManagerDep) -> None:
    tokens.logged_out[principal.user.name] = time.time()
    manager.end(principal.user.name)


@router.post("/ticket")
async def create_ticket(principal: CurrentPrincipal) -> dict[str, str]:
    return {"ticket": await tickets.issue(principal)}
