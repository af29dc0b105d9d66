"""Step 05, solution: the application and its connection manager."""

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
