"""Step 06, exercise: log in and out, and authenticate requests and handshakes."""

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Response, status
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm

from . import tickets, tokens
from .tokens import Principal

# TODO 1: POST /token returns {"access_token": ..., "token_type": "bearer"}, or 401 with WWW-Authenticate: Bearer.
#         The response to an unknown name and to a wrong password is the same, after about the same time. The hash is
#         slow: no other client may wait for it.
# TODO 2: accept a handshake with a valid token as Authorization: Bearer. Reject all others with 401 or 403.
# TODO 3: accept a handshake with a valid ticket as ?ticket= too. A client sends a token or a ticket, not both. The
#         route that creates a ticket is here; tickets.py isn't ready.
# TODO 5: reject a handshake with 403 if its whole Origin isn't in ALLOWED_ORIGINS. Accept one without an Origin.
# TODO 7: POST /logout returns 204 with a valid token, and 401 without one. It revokes all tokens and tickets of this
#         user. A new login is valid, even in the same second.

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
    return {"access_token": "", "token_type": "bearer"}


@router.post("/ticket")
async def create_ticket(principal: CurrentPrincipal) -> dict[str, str]:
    return {"ticket": await tickets.issue(principal)}
