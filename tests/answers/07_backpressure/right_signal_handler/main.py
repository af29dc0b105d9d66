"""The application, its manager, and the signal handler."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import FrameType
from typing import Any

from fastapi import FastAPI

from . import chat, members
from .connection import TransportMiddleware
from .manager import ConnectionManager
from .settings import CLOSE_TIMEOUT


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    manager = ConnectionManager()
    loop = asyncio.get_running_loop()
    uvicorns_handler = signal.getsignal(signal.SIGTERM)

    def terminate(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(loop.call_later, CLOSE_TIMEOUT, manager.abort_all)
        if callable(uvicorns_handler):
            uvicorns_handler(number, frame)

    signal.signal(signal.SIGTERM, terminate)
    yield {"manager": manager}


app = FastAPI(lifespan=lifespan)
app.include_router(chat.router)
app.include_router(members.router)
app.add_middleware(TransportMiddleware)
