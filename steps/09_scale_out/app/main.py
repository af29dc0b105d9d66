"""Step 09, lesson: the application, the manager with its broker, and the heart that beats for all members."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from . import chat, members
from .broker import Broker, MemoryBroker, RedisBroker
from .connection import WithConnection
from .manager import ConnectionManager
from .settings import BROKER, HEARTBEAT


async def beat(manager: ConnectionManager) -> None:
    while True:
        await asyncio.sleep(HEARTBEAT)
        manager.beat()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    broker: Broker = MemoryBroker() if BROKER == "memory://" else RedisBroker(BROKER)
    manager = ConnectionManager(broker)
    await broker.start(manager.hear)
    heart = asyncio.create_task(beat(manager))
    # What is yielded here, every connection finds in its state.
    yield {"manager": manager}
    heart.cancel()
    await broker.stop()


app = FastAPI(lifespan=lifespan)
app.add_middleware(WithConnection)
app.include_router(chat.router)
app.include_router(members.router)
app.frontend("/", directory=Path(__file__).parents[2] / "page")
