"""Logging in and out, and what a request or a handshake must show to get in."""

from typing import Annotated

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, HTTPException, Response, WebSocket, status
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm

from . import tickets, tokens
from .settings import ALLOWED_ORIGINS
from .tokens import Principal
from .users import DUMMY_HASH, USERS, hasher

oauth2_scheme = OAuth2PasswordBearer(tokenUrl="token", auto_error=False)
# The token of a request or a handshake, or None without a header Authorization: Bearer.
BearerToken = Annotated[str | None, Depends(oauth2_scheme)]
LoginForm = Annotated[OAuth2PasswordRequestForm, Depends()]

# A hash needs 64 MiB while it's computed. Without a limit, many logins at the same time would use all memory.
hash_limiter = CapacityLimiter(4)


def unauthorized(detail: str) -> HTTPException:
    return HTTPException(status.HTTP_401_UNAUTHORIZED, detail, headers={"WWW-Authenticate": "Bearer"})


async def get_current_principal(token: BearerToken) -> Principal:
    principal = tokens.decode(token) if token else None
    if principal is None:
        raise unauthorized("A valid access token is required")
    return principal


async def authenticate_socket(
    websocket: WebSocket, room_id: str, token: BearerToken, ticket: str | None = None
) -> Principal:
    # CORSMiddleware ignores WebSocket connections. A client that isn't a browser sends no Origin.
    if any(origin not in ALLOWED_ORIGINS for origin in websocket.headers.getlist("origin")):
        raise HTTPException(status.HTTP_403_FORBIDDEN, "This origin may not connect")
    if token is None and ticket is not None:
        principal = tickets.redeem(ticket)
    else:
        principal = tokens.decode(token) if token else None
    if principal is None:
        raise unauthorized("A valid access token or ticket is required")
    if room_id not in principal.user.permissions:
        raise HTTPException(status.HTTP_403_FORBIDDEN, "You have no permission in this room")
    return principal


async def no_store(response: Response) -> None:
    response.headers["Cache-Control"] = "no-store"


CurrentPrincipal = Annotated[Principal, Depends(get_current_principal)]
SocketPrincipal = Annotated[Principal, Depends(authenticate_socket)]
router = APIRouter(dependencies=[Depends(no_store)])


@router.post("/token")
async def log_in(form: LoginForm) -> dict[str, str]:
    user = USERS.get(form.username)
    # Verify a hash for an unknown name too, so the response time doesn't reveal which users exist.
    password_hash = user.password_hash if user else DUMMY_HASH
    # In a thread: the hash is slow on purpose, and must not block the event loop.
    is_correct = await to_thread.run_sync(hasher.verify, form.password, password_hash, limiter=hash_limiter)
    if user is None or not is_correct:
        raise unauthorized("Wrong name or password")
    return {"access_token": tokens.issue(user), "token_type": "bearer"}


@router.post("/ticket")
async def create_ticket(principal: CurrentPrincipal) -> dict[str, str]:
    return {"ticket": tickets.issue(principal)}


@router.post("/logout", status_code=status.HTTP_204_NO_CONTENT)
async def log_out(principal: CurrentPrincipal) -> None:
    # The sweeper finds the sockets.
    tokens.revoke_all(principal.user)
