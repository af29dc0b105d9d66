"""An event loop that says in the log how many tasks are unfinished, also those that nobody holds any more.

    PYTHONPATH=tests/judge/loop uvicorn exercise.main:app --loop counting:new_loop

`asyncio.all_tasks()` knows tasks by weak references only: one that waits for ever and that nobody holds may vanish
from it.
"""

import asyncio
from typing import Any

PAUSE = 0.05
"""Seconds between two lines."""


def new_loop() -> asyncio.AbstractEventLoop:
    """A loop as uvicorn would choose it, with a task factory that counts."""
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
