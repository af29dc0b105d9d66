"""Logging in and out, and what a request or a handshake must show to get in."""

from typing import Annotated
from urllib.parse import urlsplit

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, HTTPException, Response, WebSocket, status
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm

from . import tickets, tokens
from .manager import Manager
from .settings import ALLOWED_ORIGINS
from .tokens import Grant
from .users import NOBODYS_HASH, USERS, hasher

HOSTS = {urlsplit(origin).hostname for origin in ALLOWED_ORIGINS}
bearer = OAuth2PasswordBearer(tokenUrl="token", auto_error=False)
# The token of a request or a handshake, or None if there is no header Authorization: Bearer.
Bearer = Annotated[str | None, Depends(bearer)]
Form = Annotated[OAuth2PasswordRequestForm, Depends()]

# A hash takes 64 MiB for as long as it is made. Unlimited, many logins at once would take all memory.
hashing = CapacityLimiter(4)


def refused(detail: str) -> HTTPException:
    return HTTPException(status.HTTP_401_UNAUTHORIZED, detail, headers={"WWW-Authenticate": "Bearer"})


async def get_grant(token: Bearer) -> Grant:
    grant = tokens.read(token) if token else None
    if grant is None:
        raise refused("An access token is needed, and it must be good")
    return grant


async def get_visitor(websocket: WebSocket, room_id: str, token: Bearer, ticket: str | None = None) -> Grant:
    # No CORS middleware sees a WebSocket. A client that is no browser has no origin.
    if any(urlsplit(origin).hostname not in HOSTS for origin in websocket.headers.getlist("origin")):
        raise HTTPException(status.HTTP_403_FORBIDDEN, "This origin may not connect")
    if token is None and ticket is not None:
        grant = tickets.use(ticket)
    else:
        grant = tokens.read(token) if token else None
    if grant is None:
        raise refused("An access token or a ticket is needed, and it must be good")
    if room_id not in grant.user.rights:
        raise HTTPException(status.HTTP_403_FORBIDDEN, "This room is not for you")
    return grant


async def not_stored(response: Response) -> None:
    response.headers["Cache-Control"] = "no-store"


Holder = Annotated[Grant, Depends(get_grant)]
Visitor = Annotated[Grant, Depends(get_visitor)]
router = APIRouter(dependencies=[Depends(not_stored)])


@router.post("/token")
async def log_in(form: Form) -> dict[str, str]:
    user = USERS.get(form.username)
    # For a name that nobody has the work is the same, so that the time does not tell who is a user.
    password_hash = user.password_hash if user else NOBODYS_HASH
    # In a thread, because a hash is slow on purpose and everybody else would wait for it.
    matches = await to_thread.run_sync(hasher.verify, form.password, password_hash, limiter=hashing)
    if user is None or not matches:
        raise refused("Wrong name or password")
    return {"access_token": tokens.issue(user), "token_type": "bearer"}


@router.post("/ticket")
async def buy_ticket(grant: Holder) -> dict[str, str]:
    return {"ticket": await tickets.sell(grant)}


@router.post("/logout", status_code=status.HTTP_204_NO_CONTENT)
async def log_out(grant: Holder, manager: Manager) -> None:
    tokens.revoke_all(grant.user)
    manager.end_sessions(grant.user)
