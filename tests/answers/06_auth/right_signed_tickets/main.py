"""The application, and the one object that knows who is where."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from . import auth, chat, members
from .manager import ConnectionManager


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    # Each request and each connection gets what you yield here, as its state.
    manager = ConnectionManager()
    sweeper = asyncio.create_task(manager.sweep())
    yield {"manager": manager}
    sweeper.cancel()


app = FastAPI(lifespan=lifespan)
app.include_router(auth.router)
app.include_router(chat.router)
app.include_router(members.router)
# The page of the course, to log in from a browser. The path is relative to the folder where uvicorn is started.
app.frontend("/", directory="steps/page")
