"""Step 07, exercise: the application and its connection manager.

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

# TODO 3: send {"type": "ping"} to every tab every HEARTBEAT_INTERVAL seconds. Clients answer {"type": "pong"}, and get
#         no answer to that. If a tab sends nothing, close it with 4408 and remove it from the list, between three and
#         four intervals after it joined or sent its last message, valid or not.


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    # Each request and each connection gets what you yield here, as its state.
    yield {"manager": ConnectionManager()}


app = FastAPI(lifespan=lifespan)
app.include_router(chat.router)
app.include_router(members.router)
