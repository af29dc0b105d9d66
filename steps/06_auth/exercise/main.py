"""Step 06, exercise: the application and its connection manager.

In the folder of the course:

Run it:    uvicorn exercise.main:app --app-dir steps/06_auth --reload
Judge it:  pytest --exercise 6

Your tasks are in auth.py, tokens.py, tickets.py, chat.py, members.py and manager.py. This file, settings.py,
users.py and messages.py are ready.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from . import auth, chat, members
from .manager import ConnectionManager


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    # Each request and each connection gets what you yield here, as its state.
    yield {"manager": ConnectionManager()}


app = FastAPI(lifespan=lifespan)
app.include_router(auth.router)
app.include_router(chat.router)
app.include_router(members.router)
# The page of the course, to log in from a browser. The path is relative to the folder where uvicorn is started.
app.frontend("/", directory="steps/page")
