"""Step 08, exercise: the application, the manager, and the heartbeat of all members.

In the folder of the course:

Run it:    uvicorn exercise.main:app --app-dir steps/08_reconnect --reload
Judge it:  pytest --exercise 8

What is to do stands in manager.py and chat.py for the server, and in client.py. The rest is ready: also journal.py,
the file that outlives the process, enqueue_replay() in tab.py, and key_of() and error() in messages.py, which you'll
need.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any

from fastapi import FastAPI

from . import chat, members
from .connection import TransportMiddleware
from .journal import Journal
from .manager import ConnectionManager
from .settings import HEARTBEAT_INTERVAL, JOURNAL
from .supervision import supervised


async def send_heartbeats(manager: ConnectionManager) -> None:
    while True:
        await asyncio.sleep(HEARTBEAT_INTERVAL)
        manager.beat()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    with closing(Journal(JOURNAL)) as journal:
        manager = ConnectionManager(journal)
        async with supervised(send_heartbeats(manager)):
            # What is yielded here, every connection finds in its state.
            yield {"manager": manager}


app = FastAPI(lifespan=lifespan)
app.include_router(chat.router)
app.include_router(members.router)
# The last middleware that's added is the outermost one: its send is the server's own.
app.add_middleware(TransportMiddleware)
