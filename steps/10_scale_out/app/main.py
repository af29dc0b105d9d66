"""Step 10, lesson: the application, its connection manager with a broker, and the heartbeat."""

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
        manager.ping_tabs()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    broker: Broker = MemoryBroker() if BROKER == "memory://" else RedisBroker(BROKER)
    manager = ConnectionManager(broker)
    await broker.start(manager.on_event)
    try:
        async with supervised(send_heartbeats(manager)):
            # Each request and each connection gets what you yield here, as its state.
            yield {"manager": manager}
    finally:
        await broker.stop()


app = FastAPI(lifespan=lifespan)
app.include_router(chat.router)
app.include_router(members.router)
# Add it last: the middleware that's added last is the outermost, and gets the server's own send.
app.add_middleware(TransportMiddleware)
app.frontend("/", directory=Path(__file__).parents[2] / "page")
