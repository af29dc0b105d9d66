"""How one event gets to many tabs: directly where the connection takes it now, and through the queue elsewhere."""

from collections.abc import Coroutine, Iterable
from typing import Any

from starlette.types import Message as ASGIEvent

from .tab import DISCONNECT_ERRORS, Tab


def deliver(event: ASGIEvent, tabs: Iterable[Tab]) -> list[Tab]:
    """Send or queue an event, and return the tabs whose queues are full."""
    overflowed: list[Tab] = []
    run_nowait(_deliver(event, tabs, overflowed))
    return overflowed


async def _deliver(event: ASGIEvent, tabs: Iterable[Tab], overflowed: list[Tab]) -> None:
    for tab in tabs:
        # An event that the writer took from the queue, and hasn't sent yet, goes first.
        if tab.is_writable() and not tab.is_sending and tab.send_queue.empty():
            try:
                # The connection is writable, so this waits for nothing.
                await tab.send(event)
            except DISCONNECT_ERRORS:
                pass  # The tab's own endpoint receives the disconnect, and cleans up.
        elif not tab.try_put(event):
            overflowed.append(tab)


def run_nowait(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that waits for nothing, like a function: it ends with its first step."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise AssertionError(f"{coroutine} waits")
