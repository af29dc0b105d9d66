"""Step 13, solution: the application, and its feed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from . import live
from .connection import TransportMiddleware
from .feed import Feed
from .supervision import supervised


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    feed = Feed()
    async with supervised(feed.produce()):
        # Each request and each connection gets what you yield here, as its state.
        yield {"feed": feed}


app = FastAPI(lifespan=lifespan)
app.include_router(live.router)
# Add it last: the middleware that's added last is the outermost, and gets the server's own send.
app.add_middleware(TransportMiddleware)
