"""Step 06, lesson: exchange a name and a password for a token, and a token for a name."""

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, status
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm

from . import tokens
from .users import HASHES, hasher

router = APIRouter()
# It reads the header Authorization: Bearer of a request or a handshake, and responds 401 without one.
oauth2_scheme = OAuth2PasswordBearer(tokenUrl="token")
LoginForm = Annotated[OAuth2PasswordRequestForm, Depends()]


# A plain def, so FastAPI runs it in a thread: the hash is slow on purpose, and must not block the event loop.
@router.post("/token")
def log_in(form: LoginForm) -> dict[str, str]:
    if form.username not in HASHES or not hasher.verify(form.password, HASHES[form.username]):
        raise HTTPException(
            status.HTTP_401_UNAUTHORIZED, "Wrong name or password", headers={"WWW-Authenticate": "Bearer"}
        )
    return {"access_token": tokens.issue(form.username), "token_type": "bearer"}


async def get_current_username(token: Annotated[str, Depends(oauth2_scheme)]) -> str:
    name = tokens.decode(token)
    if name not in HASHES:
        raise HTTPException(
            status.HTTP_401_UNAUTHORIZED, "The token isn't valid", headers={"WWW-Authenticate": "Bearer"}
        )
    return name


CurrentUsername = Annotated[str, Depends(get_current_username)]
