"""Step 09, lesson: the application, its connection manager, and the heartbeat."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from . import chat, members
from .connection import TransportMiddleware
from .journal import Journal
from .manager import ConnectionManager
from .settings import HEARTBEAT_INTERVAL, JOURNAL
from .supervision import supervised


async def send_heartbeats(manager: ConnectionManager) -> None:
    while True:
        await asyncio.sleep(HEARTBEAT_INTERVAL)
        manager.ping_tabs()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    with closing(Journal(JOURNAL)) as journal:
        manager = ConnectionManager(journal)
        async with supervised(send_heartbeats(manager)):
            # Each request and each connection gets what you yield here, as its state.
            yield {"manager": manager}


app = FastAPI(lifespan=lifespan)
app.include_router(chat.router)
app.include_router(members.router)
# Add it last: the middleware that's added last is the outermost, and gets the server's own send.
app.add_middleware(TransportMiddleware)
app.frontend("/", directory=Path(__file__).parents[2] / "page")
