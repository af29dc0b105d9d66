"""Step 08, exercise: the application, the manager, and the heart that beats for all members.

In the folder of the course:

Run it:    uvicorn exercise.main:app --app-dir steps/08_reconnect --reload
Judge it:  pytest --exercise 8

What is to do stands in manager.py and chat.py for the server, and in client.py. The rest is ready: also journal.py,
the file that outlives the process, and begin_with() in tab.py. Nobody uses these so far.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from . import chat, members
from .connection import WithConnection
from .journal import Journal
from .manager import ConnectionManager
from .settings import HEARTBEAT, JOURNAL


async def beat(manager: ConnectionManager) -> None:
    while True:
        await asyncio.sleep(HEARTBEAT)
        manager.beat()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    journal = Journal(JOURNAL)
    manager = ConnectionManager(journal)
    heart = asyncio.create_task(beat(manager))
    # What is yielded here, every connection finds in its state.
    yield {"manager": manager}
    heart.cancel()
    journal.close()


app = FastAPI(lifespan=lifespan)
app.add_middleware(WithConnection)
app.include_router(chat.router)
app.include_router(members.router)
