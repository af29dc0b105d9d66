"""Step 07, solution: background tasks that run as long as the server."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

logger = logging.getLogger(__name__)


@asynccontextmanager
async def supervised(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run a coroutine in a task. If the task ends before the body does, shut the server down."""
    task = asyncio.create_task(work)
    task.add_done_callback(shut_down)
    try:
        yield
    finally:
        task.remove_done_callback(shut_down)
        task.cancel()
        # wait() doesn't raise the task's exception, so the shutdown continues.
        await asyncio.wait([task])


def shut_down(task: asyncio.Task[None]) -> None:
    """Log why a task has ended, and raise SIGTERM."""
    error = None if task.cancelled() else task.exception()
    logger.critical("A background task has ended, so the server shuts down.", exc_info=error)
    # The clients get 1012, and reconnect when the service manager has restarted the server.
    signal.raise_signal(signal.SIGTERM)
