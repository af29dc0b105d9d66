"""Step 13: the application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from . import live
from .connection import TransportMiddleware
from .feed import feed


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    await feed.close()


app = FastAPI(lifespan=lifespan)
app.include_router(live.router)
app.add_middleware(TransportMiddleware)
