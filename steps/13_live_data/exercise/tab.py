"""Step 07, solution: a tab, which is one connection of a member, with its send queue and its writer."""

import asyncio
from contextlib import suppress

from fastapi import WebSocket, WebSocketDisconnect
from starlette.types import Message as ASGIEvent
from starlette.websockets import WebSocketDisconnected

from .settings import CLOSE_TIMEOUT, MAX_QUEUED_FRAMES

# The first send to a disconnected client raises WebSocketDisconnect, and later ones WebSocketDisconnected.
DISCONNECT_ERRORS = (WebSocketDisconnect, WebSocketDisconnected)


class Tab:
    def __init__(self, name: str, websocket: WebSocket) -> None:
        self.name = name
        self.websocket = websocket
        self.unanswered_pings = 0
        # No maxsize: try_put checks the limit.
        self.send_queue: asyncio.Queue[ASGIEvent] = asyncio.Queue()
        self.is_sending = False
        self.abort_timer: asyncio.TimerHandle | None = None

    def try_put(self, event: ASGIEvent) -> bool:
        """Queue an event unless the client is too slow, and return whether it's queued."""
        # If no send is suspended, the client isn't slow: the writer hasn't run yet.
        if self.is_sending and self.send_queue.qsize() >= MAX_QUEUED_FRAMES:
            return False
        self.send_queue.put_nowait(event)
        return True

    async def write(self) -> None:
        """Send the queued events. Only this task waits for the connection."""
        # Ignore disconnects: the endpoint receives them, and cleans up.
        with suppress(*DISCONNECT_ERRORS):
            while True:
                event = await self.send_queue.get()
                self.is_sending = True
                await self.websocket.send(event)
                self.is_sending = False
                if self.abort_timer:
                    self.abort_later()  # The client still reads: restart the timer.

    def close(self, code: int, reason: str) -> None:
        """Close the connection after the queued events, as long as its client reads."""
        self.send_queue.put_nowait({"type": "websocket.close", "code": code, "reason": reason})
        self.abort_later()

    def abort_later(self) -> None:
        """After CLOSE_TIMEOUT, abort the connection unless its write buffer is empty. Another call restarts this."""
        if self.abort_timer:
            self.abort_timer.cancel()
        self.abort_timer = asyncio.get_running_loop().call_later(CLOSE_TIMEOUT, self._abort)

    def _abort(self) -> None:
        transport: asyncio.Transport | None = self.websocket.state.transport
        # asyncio's TLS transport raises AttributeError after its end.
        with suppress(AttributeError):
            # Only with data in the write buffer: the operating system still delivers what it has accepted.
            if transport and transport.get_write_buffer_size():
                transport.abort()
