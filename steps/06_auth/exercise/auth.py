"""Step 06, exercise: logging in and out, and what a request or a handshake must show to get in."""

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Response, status
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm

from . import tickets, tokens
from .tokens import Grant

# TODO 1: POST /token answers {"access_token": ..., "token_type": "bearer"}, or 401 with WWW-Authenticate: Bearer.
#         A name that nobody has and a wrong password get the same answer, in about the same time. A hash is slow:
#         nobody else may have to wait for it.
# TODO 2: a socket is for who sends a good token as Authorization: Bearer. Everybody else is refused with 401 or 403
#         before the socket is accepted.
# TODO 3: a socket is also for who has a good ticket as ?ticket=. A client sends a token or a ticket, not both. The way
#         to buy one is here, tickets.py is not ready.
# TODO 5: a handshake with an Origin that is none of ALLOWED_ORIGINS, as a whole, is refused with 403. One without
#         an Origin is not.
# TODO 7: POST /logout answers 204 to who sends a good token, and 401 to everybody else. Every token and every ticket
#         that this user got so far counts no more. A new login counts, in the same second too.

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
    return {"access_token": "", "token_type": "bearer"}


@router.post("/ticket")
async def buy_ticket(grant: Holder) -> dict[str, str]:
    return {"ticket": await tickets.sell(grant)}
