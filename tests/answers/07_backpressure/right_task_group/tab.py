"""One socket of a member: a list of what waits, and an event that says that something does."""

import asyncio
from collections.abc import Awaitable, Callable

from fastapi import WebSocket, WebSocketDisconnect

PING = '{"type":"ping"}'


class Tab:
    def __init__(self, websocket: WebSocket, name: str, forget: Callable[["Tab"], None]) -> None:
        self.websocket = websocket
        self.name = name
        self.forget = forget
        self.backlog: list[str] = []
        self.news = asyncio.Event()
        self.goodbye: tuple[int, str] | None = None
        self.heard = asyncio.get_running_loop().time()

    def put(self, text: str) -> None:
        if self.goodbye:
            return
        if len(self.backlog) == 64:
            self.close(1013, "too slow")
        else:
            self.backlog.append(text)
        self.news.set()

    def close(self, code: int, reason: str) -> None:
        self.goodbye = (code, reason)
        self.news.set()
        self.forget(self)

    async def write(self) -> None:
        while True:
            await self.news.wait()
            while self.backlog:
                await self.websocket.send_text(self.backlog[0])
                self.backlog.pop(0)
            self.news.clear()
            if self.goodbye:
                await self.websocket.close(*self.goodbye)
                return

    async def watch(self, interval: float) -> None:
        loop = asyncio.get_running_loop()
        while not self.goodbye:
            await asyncio.sleep(interval)
            if loop.time() - self.heard >= 3 * interval:
                self.close(4408, "silent")
            elif not self.goodbye:
                self.put(PING)

    async def quietly(self, work: Awaitable[None]) -> None:
        try:
            await work
        except (WebSocketDisconnect, RuntimeError):
            pass  # the reading task hears of it
