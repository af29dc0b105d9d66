"""One connection of a member: a backlog, an event for each task that waits, and the work of those tasks."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from fastapi import WebSocket, WebSocketDisconnect

from .settings import CLOSE_TIMEOUT, HEARTBEAT_INTERVAL, MAX_QUEUED_FRAMES, MAX_UNANSWERED_PINGS

PING = '{"type":"ping"}'


class Tab:
    def __init__(self, websocket: WebSocket, name: str, leave: Callable[["Tab"], None]) -> None:
        self.websocket = websocket
        self.transport: asyncio.Transport | None = websocket.scope["extensions"]["transport"]["transport"]
        self.name = name
        self.leave = leave
        self.backlog: list[str] = []
        self.is_sending = False
        self.has_work = asyncio.Event()
        self.is_closing = asyncio.Event()
        self.close_frame = (1000, "")
        self.last_frame_at = asyncio.get_running_loop().time()

    def put(self, text: str) -> None:
        if self.is_closing.is_set():
            return
        if self.is_sending and len(self.backlog) >= MAX_QUEUED_FRAMES:
            self.close(1013, "too slow")
        else:
            self.backlog.append(text)
            self.has_work.set()

    def close(self, code: int, reason: str) -> None:
        self.close_frame = (code, reason)
        self.is_closing.set()
        self.has_work.set()
        self.leave(self)

    async def write(self) -> None:
        with suppress(WebSocketDisconnect, RuntimeError):  # The endpoint receives the disconnect.
            while True:
                await self.has_work.wait()
                while self.backlog:
                    self.is_sending = True
                    await self.websocket.send_text(self.backlog[0])
                    self.is_sending = False
                    self.backlog.pop(0)
                self.has_work.clear()
                if self.is_closing.is_set():
                    await self.websocket.close(*self.close_frame)
                    return

    async def ping(self) -> None:
        loop = asyncio.get_running_loop()
        while not self.is_closing.is_set():
            await asyncio.sleep(HEARTBEAT_INTERVAL)
            if loop.time() - self.last_frame_at < MAX_UNANSWERED_PINGS * HEARTBEAT_INTERVAL:
                self.put(PING)
            elif not self.is_closing.is_set():
                self.close(4408, "silent")

    async def abort_when_stuck(self) -> None:
        """Once the connection is being closed, abort it if its client reads nothing for CLOSE_TIMEOUT."""
        await self.is_closing.wait()
        before, now = None, self._unsent()
        while now != before:
            await asyncio.sleep(CLOSE_TIMEOUT)
            before, now = now, self._unsent()
        self.abort()

    def _unsent(self) -> tuple[int, int]:
        return len(self.backlog), self.transport.get_write_buffer_size() if self.transport else 0

    def abort(self) -> None:
        """Abort the connection, unless the operating system has taken everything: it delivers that by itself."""
        if self.transport and self.transport.get_write_buffer_size():
            self.transport.abort()
