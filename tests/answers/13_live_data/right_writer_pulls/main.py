"""Step 13: the application."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from . import live
from .connection import TransportMiddleware
from .feed import Feed


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.feed = Feed()
    producer = asyncio.create_task(app.state.feed.run())
    yield
    producer.cancel()
    await asyncio.wait([producer])


app = FastAPI(lifespan=lifespan)
app.include_router(live.router)
app.add_middleware(TransportMiddleware)
