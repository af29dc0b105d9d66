"""Step 09, solution: how one frame gets to many tabs."""

from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from starlette.types import Message

from .connection import GONE
from .tab import Tab

T = TypeVar("T")


async def deliver(frame: Message, tabs: Iterable[Tab]) -> list[Tab]:
    """Send a frame to each of these tabs when it is its turn, and give those for which too many are waiting."""
    full = []
    for tab in tabs:
        if tab.waiting or not tab.connection.takes_more():
            if not tab.put(frame):
                full.append(tab)
            continue
        try:
            # The socket takes it now, so this waits for nothing, and the tab needs no task.
            await tab.connection.send(frame)
        except GONE:
            pass  # That a tab is gone is for its own endpoint.
    return full


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that waits for nothing: it is run like a function."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    coroutine.close()
    raise RuntimeError(f"{coroutine} waits")
