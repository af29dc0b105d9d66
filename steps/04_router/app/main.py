"""Step 04, lesson: the application, composed of its modules."""

from pathlib import Path

from fastapi import FastAPI

from . import chat

app = FastAPI()
# Include chat.router, not the module chat.
app.include_router(chat.router)
app.frontend("/", directory=Path(__file__).parents[2] / "page")
