"""One connection of a member, with a queue for what it can't take now, and a task that sends what's in it."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from fastapi import WebSocket
from starlette.types import Message

from .settings import CLOSE_TIMEOUT, MAX_QUEUED_FRAMES

# What the server's send raises when the connection is lost, and when it has been closed.
DISCONNECT_ERRORS = (OSError, RuntimeError)


class Tab:
    def __init__(self, name: str, websocket: WebSocket) -> None:
        self.name = name
        # The server's own send: FastAPI's would check each event again.
        self.send: Callable[[Message], Coroutine[Any, Any, None]] = websocket.state.send
        self.is_writable: Callable[[], bool] = websocket.state.is_writable
        self.transport: asyncio.Transport | None = websocket.state.transport
        self.unanswered_pings = 0
        # try_put checks the limit, so that there's always room for the close.
        self.send_queue: asyncio.Queue[Message] = asyncio.Queue()
        self.is_writing = False
        self.abort_timer: asyncio.TimerHandle | None = None

    def try_put(self, event: Message) -> bool:
        """Send an event if the connection takes it now, or queue it if there's room. Return whether it did either."""
        # An event that the writer took from the queue, and hasn't sent yet, goes first.
        if self.is_writable() and self.send_queue.empty() and not self.is_writing:
            try:
                run_nowait(self.send(event))
            except DISCONNECT_ERRORS:
                pass  # The tab's own endpoint receives the disconnect, and cleans up.
            return True
        if self.send_queue.qsize() >= MAX_QUEUED_FRAMES:
            return False
        self.send_queue.put_nowait(event)
        return True

    async def write(self) -> None:
        """Send the queued events. No other task waits for this connection."""
        # Ignore disconnects: the endpoint receives them, and cleans up.
        with suppress(*DISCONNECT_ERRORS):
            while True:
                event = await self.send_queue.get()
                self.is_writing = True
                await self.send(event)
                self.is_writing = False
                if self.abort_timer:
                    self.abort_later()  # The client still reads, so it gets more time.

    def close(self, code: int, reason: str) -> None:
        """Close the connection after what's queued, as long as its client reads."""
        self.send_queue.put_nowait({"type": "websocket.close", "code": code, "reason": reason})
        self.abort_later()

    def abort_later(self) -> None:
        """Abort the connection in CLOSE_TIMEOUT. A further call starts the time again."""
        if self.abort_timer:
            self.abort_timer.cancel()
        self.abort_timer = asyncio.get_running_loop().call_later(CLOSE_TIMEOUT, self._abort)

    def _abort(self) -> None:
        # The operating system delivers what it has taken. What it hasn't, a client that reads nothing leaves here.
        if self.transport and self.transport.get_write_buffer_size():
            self.transport.abort()


def run_nowait(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that doesn't suspend, like a function: it then ends at its first step."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise AssertionError(f"{coroutine} has suspended")
