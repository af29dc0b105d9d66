"""Step 05, exercise: the application and its connection manager.

In the folder of the course:

Run it:    uvicorn exercise.main:app --app-dir steps/05_sessions --reload
Judge it:  pytest --exercise 5

Your tasks are in manager.py, chat.py and members.py. This file and messages.py are ready.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from . import chat, members
from .manager import ConnectionManager


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    # Each request and each connection gets what you yield here, as its state.
    yield {"manager": ConnectionManager()}


app = FastAPI(lifespan=lifespan)
app.include_router(chat.router)
app.include_router(members.router)
