"""Step 09, lesson: the application, the manager with its broker, and the heartbeat of all members."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from . import chat, members
from .broker import Broker, MemoryBroker, RedisBroker
from .connection import TransportMiddleware
from .manager import ConnectionManager
from .settings import BROKER, HEARTBEAT_INTERVAL
from .supervision import supervised


async def send_heartbeats(manager: ConnectionManager) -> None:
    while True:
        await asyncio.sleep(HEARTBEAT_INTERVAL)
        manager.beat()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    broker: Broker = MemoryBroker() if BROKER == "memory://" else RedisBroker(BROKER)
    manager = ConnectionManager(broker)
    await broker.start(manager.hear)
    try:
        async with supervised(send_heartbeats(manager)):
            # What is yielded here, every connection finds in its state.
            yield {"manager": manager}
    finally:
        await broker.stop()


app = FastAPI(lifespan=lifespan)
app.include_router(chat.router)
app.include_router(members.router)
# The last middleware that's added is the outermost one: its send is the server's own.
app.add_middleware(TransportMiddleware)
app.frontend("/", directory=Path(__file__).parents[2] / "page")
