"""An event loop that logs the number of unfinished tasks, including those without references.

    PYTHONPATH=tests/judge/loop uvicorn exercise.main:app --loop counting:new_loop

`asyncio.all_tasks()` has only weak references: a task that waits indefinitely and isn't referenced may disappear
from it.
"""

import asyncio
from typing import Any

PAUSE = 0.05
"""Seconds between two lines of the log."""


def new_loop() -> asyncio.AbstractEventLoop:
    """Return the loop that uvicorn would choose, with a task factory that counts tasks."""
    try:
        import uvloop
    except ImportError:
        loop = asyncio.new_event_loop()
    else:
        loop = uvloop.new_event_loop()
    unfinished: dict[asyncio.Task[Any], str] = {}

    def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        task = asyncio.Task(coroutine, loop=loop, **options)
        if not task.done():
            unfinished[task] = getattr(coroutine, "__qualname__", repr(coroutine))
            task.add_done_callback(unfinished.pop)
        return task

    def look() -> None:
        names = sorted(unfinished.values())
        print(f"unfinished tasks: {len(names)} ({', '.join(names)})", flush=True)
        loop.call_later(PAUSE, look)

    loop.set_task_factory(factory)
    loop.call_soon(look)
    return loop
