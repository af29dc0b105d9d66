"""Step 09, solution: one socket of a member, and what waits for it."""

import asyncio
from collections import deque

from starlette.types import Message

from .connection import GONE, Connection
from .settings import BEHIND, CAUGHT_UP, MOMENT, MOST_WAITING, PATIENCE


class Tab:
    def __init__(self, name: str, connection: Connection) -> None:
        self.name = name
        self.connection = connection
        self.has_list = False
        self.unanswered = 0
        self.waiting: deque[Message] = deque()
        # Of those that wait, the first so many were missed before it came, and do not count.
        self.replaying = 0
        self.behind_since: float | None = None
        self.writer: asyncio.Task[None] | None = None

    def begin_with(self, frames: list[Message]) -> None:
        """Send these first, however many they are."""
        self._wait(*frames)
        self.replaying = len(self.waiting)

    def put(self, frame: Message, most_waiting: int = MOST_WAITING) -> bool:
        """Let a frame wait until it is its turn. False: too many are waiting."""
        waiting = len(self.waiting) - self.replaying
        if waiting >= most_waiting:
            return False
        if waiting + 1 == BEHIND and self.behind_since is None:
            self.behind_since = asyncio.get_running_loop().time()
        self._wait(frame)
        return True

    def _wait(self, *frames: Message) -> None:
        is_first = not self.waiting
        self.waiting.extend(frames)
        if is_first:
            self.writer = asyncio.create_task(self._write())

    async def _write(self) -> None:
        try:
            while self.waiting:
                await self.connection.send(self.waiting[0])
                self.waiting.popleft()
                self.replaying = max(self.replaying - 1, 0)
                if len(self.waiting) == CAUGHT_UP:
                    self.behind_since = None
        except GONE:
            self.waiting.clear()

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
