"""Step 09, lesson: one socket of a member, and what waits for it."""

import asyncio
from collections import deque
from collections.abc import Coroutine, Generator
from typing import Any

from starlette.types import Message

from .connection import GONE, Connection
from .settings import BEHIND, CAUGHT_UP, MOMENT, MOST_WAITING, PATIENCE


class Tab:
    def __init__(self, name: str, connection: Connection) -> None:
        self.name = name
        self.connection = connection
        self.unanswered = 0
        self.waiting: deque[Message] = deque()
        # Of those that wait, the first so many were missed before it came, and do not count.
        self.replaying = 0
        self.behind_since: float | None = None
        self.writer: asyncio.Task[None] | None = None

    def begin_with(self, frames: list[Message]) -> None:
        """Send these first, however many they are."""
        for frame in frames:
            self.put(frame, len(frames))
        self.replaying = len(self.waiting)

    def put(self, frame: Message, most_waiting: int = MOST_WAITING) -> bool:
        """Send a frame when it is its turn. False: too many are waiting."""
        if len(self.waiting) - self.replaying >= most_waiting:
            return False
        if self.waiting:
            self.waiting.append(frame)
            if len(self.waiting) == BEHIND and self.behind_since is None:
                self.behind_since = asyncio.get_running_loop().time()
            return True
        # The first step of the send is made here, up to where it would wait. While the socket takes what it is given,
        # that is the whole send, and no task is needed.
        sending = self.connection.send(frame)
        try:
            step = sending.send(None)
        except (StopIteration, *GONE):
            return True  # It is sent, or for nobody: that a tab is gone is for its own endpoint.
        self.waiting.append(frame)
        self.writer = asyncio.create_task(self._write(Begun(sending, step)))
        return True

    async def _write(self, begun: "Begun") -> None:
        try:
            await begun
            self._sent()
            while self.waiting:
                await self.connection.send(self.waiting[0])
                self._sent()
                if len(self.waiting) == CAUGHT_UP:
                    self.behind_since = None
        except GONE:
            self.waiting.clear()

    def _sent(self) -> None:
        self.waiting.popleft()
        self.replaying = max(self.replaying - 1, 0)

    async def catch_up(self) -> None:
        """Return when this tab is not far behind, or has had its moment and still is."""
        clock = asyncio.get_running_loop().time
        while self.behind_since is not None and clock() < self.behind_since + MOMENT:
            await asyncio.sleep(0.001)

    def close(self, code: int, reason: str) -> None:
        """Send what is waiting, then the code, and end the connection however far that came."""
        self.put({"type": "websocket.close", "code": code, "reason": reason}, MOST_WAITING + 1)
        self._abort_later()

    def end(self) -> None:
        """Nothing can be sent any more: one side has said goodbye, or the connection is lost."""
        if self.writer:
            self.writer.cancel()
        self._abort_later()

    def _abort_later(self) -> None:
        # A connection is closed once everything is written. Where nobody reads, that is never.
        asyncio.get_running_loop().call_later(PATIENCE, self.connection.abort)


class Begun:
    """Awaits the rest of a coroutine whose first step has been made."""

    def __init__(self, coroutine: Coroutine[Any, Any, None], step: object) -> None:
        self.coroutine = coroutine
        self.step = step

    def __await__(self) -> Generator[Any, Any, None]:
        # The step is what the coroutine waits for. The task that awaits this waits for it in its place.
        yield self.step
        yield from self.coroutine.__await__()
