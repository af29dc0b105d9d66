"""Tasks that never outlive their check, and whose exceptions never cause a traceback of the judge."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

T = TypeVar("T")


def spawn(coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Start a task and retrieve its exception, because the checks that need its result may have failed."""
    task = asyncio.create_task(coroutine)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return task


async def stop(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks, and wait until they have cleaned up."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def running(*coroutines: Coroutine[Any, Any, T]) -> AsyncIterator[list[asyncio.Task[T]]]:
    """Run coroutines as tasks, and cancel those that still run at the end of the block."""
    tasks = [spawn(coroutine) for coroutine in coroutines]
    try:
        yield tasks
    finally:
        await stop(*tasks)


async def together(*coroutines: Coroutine[Any, Any, T]) -> list[T]:
    """Run coroutines as tasks, and return their results.

    If one fails, the others are canceled first, so that none of them enters a context after that context was ended.
    """
    async with running(*coroutines) as tasks:
        return list(await asyncio.gather(*tasks))
