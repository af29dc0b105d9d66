"""One connection of a member, with a queue and a task that sends what's in it."""

import asyncio
import math
from contextlib import suppress

from fastapi import WebSocket, WebSocketDisconnect
from starlette.types import Message as ASGIEvent

from .settings import CLOSE_TIMEOUT, MAX_QUEUED_FRAMES


class Tab:
    def __init__(self, name: str, websocket: WebSocket) -> None:
        self.name = name
        self.websocket = websocket
        self.transport: asyncio.Transport | None = websocket.state.transport
        self.last_frame_at = asyncio.get_running_loop().time()
        self.is_sending = False
        self.queue: asyncio.Queue[ASGIEvent] = asyncio.Queue()

    def try_put(self, event: ASGIEvent) -> bool:
        # A queue that's only full because the writer hasn't had its turn is not the client's doing.
        if self.is_sending and self.queue.qsize() >= MAX_QUEUED_FRAMES:
            return False
        self.queue.put_nowait(event)
        return True

    def close(self, code: int, reason: str) -> None:
        self.queue.put_nowait({"type": "websocket.close", "code": code, "reason": reason})
        self.abort_when_stuck()

    async def write(self) -> None:
        event: ASGIEvent = {"type": ""}
        with suppress(WebSocketDisconnect, RuntimeError):
            while event["type"] != "websocket.close":
                event = await self.queue.get()
                self.is_sending = True
                await self.websocket.send(event)
                self.is_sending = False

    def abort_when_stuck(self, before: tuple[float, float] = (math.inf, 0)) -> None:
        """Look every CLOSE_TIMEOUT whether the client has read something, and abort the connection when it hasn't."""
        unsent = (self.queue.qsize(), self.transport.get_write_buffer_size() if self.transport else 0)
        if unsent < before:
            asyncio.get_running_loop().call_later(CLOSE_TIMEOUT, self.abort_when_stuck, unsent)
        else:
            self.abort()

    def abort(self) -> None:
        """Abort the connection, unless the operating system has taken everything: it delivers that by itself."""
        if self.transport and self.transport.get_write_buffer_size():
            self.transport.abort()
