"""Step 04, lesson: the application, put together from its modules."""

from pathlib import Path

from fastapi import FastAPI

from . import chat

app = FastAPI()
# The router, not the module: chat.router.
app.include_router(chat.router)
app.frontend("/", directory=Path(__file__).parents[2] / "page")
