"""Step 08, lesson: the application, the manager, and the heart that beats for all members."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from . import chat, members
from .connection import WithConnection
from .manager import ConnectionManager
from .settings import HEARTBEAT


async def beat(manager: ConnectionManager) -> None:
    while True:
        await asyncio.sleep(HEARTBEAT)
        manager.beat()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    manager = ConnectionManager()
    heart = asyncio.create_task(beat(manager))
    # What is yielded here, every connection finds in its state.
    yield {"manager": manager}
    heart.cancel()


app = FastAPI(lifespan=lifespan)
app.add_middleware(WithConnection)
app.include_router(chat.router)
app.include_router(members.router)
app.frontend("/", directory=Path(__file__).parents[2] / "page")
