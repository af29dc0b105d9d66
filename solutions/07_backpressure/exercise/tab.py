"""Step 07, solution: one socket of a member, what waits for it, and the task that hands it on."""

import asyncio
import sys
from collections import deque
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from fastapi import WebSocket, WebSocketDisconnect
from starlette.types import Message

from .settings import MOST_WAITING, PATIENCE

# What a send to a member that is gone raises: the first time, and every later time.
GONE = (WebSocketDisconnect, RuntimeError)

if sys.version_info >= (3, 12):

    def start(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        # It runs at once, up to its first wait: while the socket takes what it is given, it ends without one.
        return asyncio.eager_task_factory(asyncio.get_running_loop(), work)

else:
    start = asyncio.create_task


class Tab:
    def __init__(self, websocket: WebSocket, name: str) -> None:
        self.websocket = websocket
        self.name = name
        self.unanswered = 0
        self.waiting: deque[Message] = deque()
        self.writer: asyncio.Task[None] | None = None

    def put(self, frame: Message) -> bool:
        """Send a frame when it is its turn, or say that too many are waiting."""
        if len(self.waiting) >= MOST_WAITING:
            return False
        self._put(frame)
        return True

    def close(self, code: int, reason: str) -> None:
        """Send what is waiting, then the close code, and end the connection however far that came."""
        self._put({"type": "websocket.close", "code": code, "reason": reason})
        self._abort_later()

    def end(self) -> None:
        """The client is gone, or the server is to end: nothing can be sent any more."""
        if self.writer:
            self.writer.cancel()
        self._abort_later()

    def _abort_later(self) -> None:
        # Closing waits until everything is written. Where nobody reads, that is for ever.
        asyncio.get_running_loop().call_later(PATIENCE, self.websocket.state.abort)

    def _put(self, frame: Message) -> None:
        self.waiting.append(frame)
        if self.writer is None or self.writer.done():
            self.writer = start(self._write())

    async def _write(self) -> None:
        with suppress(*GONE):
            while self.waiting:
                await self.websocket.send(self.waiting[0])
                self.waiting.popleft()
