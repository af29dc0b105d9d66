"""Step 09, exercise: background tasks that run as long as the server does."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

logger = logging.getLogger(__name__)


@asynccontextmanager
async def supervised(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run this in a task. If the task ends before its time, shut the server down."""
    task = asyncio.create_task(work)
    task.add_done_callback(shut_down)
    try:
        yield
    finally:
        task.remove_done_callback(shut_down)
        while not task.done():
            # Perhaps not for the first time: redis-py can lose a cancellation while it waits for a connection.
            task.cancel()
            # wait() doesn't raise what the task raised, so the rest of the shutdown follows.
            await asyncio.wait([task], timeout=1)


def shut_down(task: asyncio.Task[None]) -> None:
    """Log why a task has ended, and end the process as SIGTERM does."""
    error = None if task.cancelled() else task.exception()
    logger.critical("A background task has ended, so the server shuts down.", exc_info=error)
    # The members get 1012 and can reconnect when the service manager has restarted the server.
    signal.raise_signal(signal.SIGTERM)
