"""Step 08, solution: one connection of a member, with a queue and a task that sends what's in it."""

import asyncio
from contextlib import suppress

from fastapi import WebSocket, WebSocketDisconnect
from starlette.types import Message
from starlette.websockets import WebSocketDisconnected

from .settings import CLOSE_TIMEOUT, MAX_QUEUED_FRAMES

# What a send to a disconnected client raises: the first, and every later one.
DISCONNECT_ERRORS = (WebSocketDisconnect, WebSocketDisconnected)


class Tab:
    def __init__(self, name: str, websocket: WebSocket) -> None:
        self.name = name
        self.websocket = websocket
        self.unanswered_pings = 0
        # try_put checks the limit.
        self.send_queue: asyncio.Queue[Message] = asyncio.Queue()
        # This many of the queued events are a replay, and don't count.
        self.replay_left = 0
        self.is_sending = False
        self.abort_timer: asyncio.TimerHandle | None = None

    def enqueue_replay(self, events: list[Message]) -> None:
        """Queue these first, however many they are."""
        for event in events:
            self.send_queue.put_nowait(event)
        self.replay_left = self.send_queue.qsize()

    def try_put(self, event: Message) -> bool:
        """Queue an event, unless the client is too slow for it, and return whether it's queued."""
        # Without a send that waits, the queue is only full because the writer hasn't had its turn yet.
        if self.is_sending and self.send_queue.qsize() - self.replay_left >= MAX_QUEUED_FRAMES:
            return False
        self.send_queue.put_nowait(event)
        return True

    async def write(self) -> None:
        """Send the queued events. No other task waits for this connection."""
        # Ignore disconnects: the endpoint receives them, and cleans up.
        with suppress(*DISCONNECT_ERRORS):
            while True:
                event = await self.send_queue.get()
                self.replay_left = max(self.replay_left - 1, 0)
                self.is_sending = True
                await self.websocket.send(event)
                self.is_sending = False
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
        transport: asyncio.Transport | None = self.websocket.state.transport
        # asyncio's TLS transport raises AttributeError once it has ended.
        with suppress(AttributeError):
            # The operating system delivers what it has taken. What it hasn't, a client that reads nothing leaves here.
            if transport and transport.get_write_buffer_size():
                transport.abort()
