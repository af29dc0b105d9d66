"""Step 07, exercise: one socket of a member, with a queue of its own and a task that empties it."""

import asyncio
from contextlib import suppress
from typing import Any

from fastapi import WebSocket, WebSocketDisconnect

# TODO 2: 64 frames may wait for a tab beyond what the kernel took; at the next it is dropped and off the list at once.
#         If it reads again within half a second, it finds all that waited for it, then close code 1013. If it does not,
#         the process holds its socket for 6 seconds at most. Nobody else waits longer than 100 ms. A member that reads
#         is never dropped, however large the burst: 400 messages may come in one piece.
# TODO 4: on SIGTERM, every member that reads gets 1012, and the process is gone within 3 seconds, whoever is stuck.

# What a send to a member that is gone raises: the first time, and every later time.
GONE = (WebSocketDisconnect, RuntimeError)
MOST_WAITING = 64


class Tab:
    def __init__(self, websocket: WebSocket, name: str) -> None:
        self.websocket = websocket
        self.name = name
        self.queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(MOST_WAITING)
        self.task = asyncio.create_task(self._write())

    def put(self, message: dict[str, Any]) -> bool:
        """Queue a message. False: the queue is full."""
        try:
            self.queue.put_nowait(message)
        except asyncio.QueueFull:
            return False
        return True

    async def _write(self) -> None:
        with suppress(*GONE):
            while True:
                # If the socket takes nothing, this task waits, and nobody else.
                await self.websocket.send_json(await self.queue.get())

    def close(self, code: int, reason: str) -> None:
        self.task.cancel()
        # A task again, because closing waits as sending does.
        self.task = asyncio.create_task(self._close(code, reason))

    async def _close(self, code: int, reason: str) -> None:
        with suppress(*GONE):
            await self.websocket.close(code, reason)
