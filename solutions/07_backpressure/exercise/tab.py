"""Step 07, solution: one socket of a member, and what waits for it."""

import asyncio
from collections import deque
from collections.abc import Coroutine, Generator
from typing import Any

from fastapi import WebSocket, WebSocketDisconnect
from starlette.types import Message

from .settings import BEHIND, CAUGHT_UP, MOMENT, MOST_WAITING, PATIENCE

# What a send to a member that is gone raises: the first time, and every later time.
GONE = (WebSocketDisconnect, RuntimeError)


class Tab:
    def __init__(self, websocket: WebSocket, name: str) -> None:
        self.websocket = websocket
        self.name = name
        self.unanswered = 0
        self.waiting: deque[Message] = deque()
        self.behind_since: float | None = None
        self.writer: asyncio.Task[None] | None = None

    def put(self, frame: Message) -> bool:
        """Send a frame when it is its turn. False: too many are waiting."""
        if len(self.waiting) >= MOST_WAITING:
            return False
        self._put(frame)
        return True

    def close(self, code: int, reason: str) -> None:
        """Send what is waiting, then the code."""
        self._put({"type": "websocket.close", "code": code, "reason": reason})
        self._abort_later()

    def end(self) -> None:
        """Nothing can be sent any more, because one side has said goodbye or the connection is lost."""
        if self.writer:
            self.writer.cancel()
        self._abort_later()

    async def catch_up(self) -> None:
        """Return when this tab is not far behind, or has had its moment and still is."""
        clock = asyncio.get_running_loop().time
        while self.behind_since is not None and clock() < self.behind_since + MOMENT:
            await asyncio.sleep(0.001)

    def _abort_later(self) -> None:
        # A connection is closed when everything is written. Where nobody reads, that is never.
        asyncio.get_running_loop().call_later(PATIENCE, self.websocket.state.abort)

    def _put(self, frame: Message) -> None:
        if self.waiting:
            self.waiting.append(frame)
            if len(self.waiting) == BEHIND and self.behind_since is None:
                self.behind_since = asyncio.get_running_loop().time()
            return
        # The first step of a send is made here, up to where it would wait. A socket that takes what it is given never
        # makes it wait, so the send is over with this step and costs no task.
        sending = self.websocket.send(frame)
        try:
            step = sending.send(None)
        except (StopIteration, *GONE):
            return  # It is sent, or for nobody: that a tab is gone is for its own endpoint.
        self.waiting.append(frame)
        self.writer = asyncio.create_task(self._write(Begun(sending, step)))

    async def _write(self, begun: "Begun") -> None:
        try:
            await begun
            self.waiting.popleft()
            while self.waiting:
                await self.websocket.send(self.waiting[0])
                self.waiting.popleft()
                if len(self.waiting) == CAUGHT_UP:
                    self.behind_since = None
        except GONE:
            self.waiting.clear()


class Begun:
    """Awaits the rest of a coroutine whose first step has been made."""

    def __init__(self, coroutine: Coroutine[Any, Any, None], step: object) -> None:
        self.coroutine = coroutine
        self.step = step

    def __await__(self) -> Generator[Any, Any, None]:
        # The step is what the coroutine waits for. The task that awaits this waits for it in its place.
        yield self.step
        yield from self.coroutine.__await__()
