"""One socket of a member, with a queue of its own and a task that empties it."""

import asyncio
from contextlib import suppress

from starlette.types import Message

from .connection import GONE, Connection

MOST_WAITING = 64
HALF_A_SECOND_AND_MORE = 2.0


class Tab:
    def __init__(self, name: str, connection: Connection) -> None:
        self.name = name
        self.connection = connection
        self.unanswered = 0
        # The limit is looked at in put, so that the goodbye always finds a place.
        self.queue: asyncio.Queue[Message] = asyncio.Queue()
        self.writer = asyncio.create_task(self._write())

    def put(self, frame: Message) -> bool:
        if self.queue.qsize() >= MOST_WAITING:
            return False
        self.queue.put_nowait(frame)
        return True

    def close(self, code: int, reason: str) -> None:
        self.queue.put_nowait({"type": "websocket.close", "code": code, "reason": reason})
        self._abort_later()

    async def _write(self) -> None:
        frame: Message = {"type": ""}
        with suppress(*GONE):
            while frame["type"] != "websocket.close":
                frame = await self.queue.get()
                await self.connection.send(frame)

    def end(self) -> None:
        self.writer.cancel()
        self._abort_later()

    def _abort_later(self) -> None:
        asyncio.get_running_loop().call_later(HALF_A_SECOND_AND_MORE, self.connection.abort)
