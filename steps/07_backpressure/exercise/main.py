"""Step 07, exercise: the application, and the one object that knows who is where.

In the folder of the course:

Run it:    uvicorn exercise.main:app --app-dir steps/07_backpressure --reload
Judge it:  pytest --exercise 7

The package is the lesson. Fix what's wrong with it here and in manager.py, chat.py and tab.py. members.py,
messages.py, settings.py and supervision.py are ready.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from . import chat, members
from .manager import ConnectionManager

# TODO 3: every member gets {"type": "ping"} every HEARTBEAT_INTERVAL seconds. Any frame of a member is a sign of life,
#         and its {"type": "pong"} gets no answer. Between three and four intervals after the last sign of life, its
#         connection is closed with 4408, and it is off the list.


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    # What is yielded here, every connection finds in its state.
    yield {"manager": ConnectionManager()}


app = FastAPI(lifespan=lifespan)
app.include_router(chat.router)
app.include_router(members.router)
