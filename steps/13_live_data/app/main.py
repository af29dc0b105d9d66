"""Step 13, lesson: the application."""

from pathlib import Path

from fastapi import FastAPI

from . import live
from .connection import TransportMiddleware

app = FastAPI()
app.include_router(live.router)
app.frontend("/", directory=Path(__file__).parents[2] / "page")
# Add it last: the middleware that's added last is the outermost, and gets the server's own send.
app.add_middleware(TransportMiddleware)
