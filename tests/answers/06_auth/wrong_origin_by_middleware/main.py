"""The application, and the one object that knows who is where."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from . import auth, chat, members
from .manager import ConnectionManager
from .settings import ALLOWED_ORIGINS


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    # What is yielded here, every connection finds in its state.
    yield {"manager": ConnectionManager()}


app = FastAPI(lifespan=lifespan)
app.add_middleware(CORSMiddleware, allow_origins=ALLOWED_ORIGINS, allow_credentials=True)
app.include_router(auth.router)
app.include_router(chat.router)
app.include_router(members.router)
# The page of the course, to log in from a browser. The folder counts from the one where uvicorn is started.
app.frontend("/", directory="steps/page")
