"""Step 08: a client that comes back, as one loop."""

import asyncio
import json
import random
import secrets
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException


class ResilientClient:
    def __init__(self, url: str, *, after: int = 0, base: float = 0.5, cap: float = 10.0) -> None:
        self.url, self.after, self.base, self.cap = url, after, base, cap
        self.stopped: int | None = None
        self.items: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self.waiting: dict[str, tuple[str, asyncio.Future[int]]] = {}
        self.something_to_send = asyncio.Event()
        self.over = False
        self.tries = 0

    async def __aenter__(self) -> "ResilientClient":
        self.task = asyncio.create_task(self.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def send(self, text: str) -> int:
        if self.over:
            raise ConnectionError("over")
        key, future = secrets.token_urlsafe(16), asyncio.get_running_loop().create_future()
        self.waiting[key] = (text, future)
        self.something_to_send.set()
        return await future

    async def __aiter__(self):
        while (item := await self.items.get()) is not None:
            yield item
        self.items.put_nowait(None)

    async def run(self) -> None:
        try:
            while self.stopped is None:
                try:
                    await self.once()
                except InvalidStatus as error:
                    if error.response.status_code in (401, 403):
                        self.stopped = error.response.status_code
                except ConnectionClosed as error:
                    if error.rcvd and error.rcvd.code in (1008, 4401):
                        self.stopped = error.rcvd.code
                except (OSError, WebSocketException):
                    pass
                if self.stopped is None:
                    delay = min(self.cap, self.base * 2.0**self.tries)
                    self.tries = min(self.tries + 1, 50)
                    await asyncio.sleep(delay * (0.5 + random.random() / 2))
        finally:
            self.over = True
            for _, future in self.waiting.values():
                if not future.done():
                    future.set_exception(ConnectionError("over"))
            self.items.put_nowait(None)

    async def once(self) -> None:
        mark = "&" if "?" in self.url else "?"
        async with connect(f"{self.url}{mark}after={self.after}", max_size=None, close_timeout=0.5) as websocket:
            sent = set()
            self.something_to_send.set()
            frame = asyncio.ensure_future(websocket.recv())
            more = asyncio.ensure_future(self.something_to_send.wait())
            try:
                while True:
                    await asyncio.wait([frame, more], return_when=asyncio.FIRST_COMPLETED)
                    if more.done():
                        self.something_to_send.clear()
                        for key, (text, _) in list(self.waiting.items()):
                            if key not in sent:
                                sent.add(key)
                                await websocket.send(json.dumps({"type": "message", "text": text, "key": key}))
                        more = asyncio.ensure_future(self.something_to_send.wait())
                    if frame.done():
                        await self.take(websocket, json.loads(frame.result()))
                        frame = asyncio.ensure_future(websocket.recv())
            finally:
                for each in (frame, more):
                    each.cancel()
                await asyncio.gather(frame, more, return_exceptions=True)

    async def take(self, websocket: Any, message: dict[str, Any]) -> None:
        if message["type"] == "ping":
            await websocket.send(json.dumps({"type": "pong"}))
        elif message["type"] == "gap":
            self.items.put_nowait(message)
        elif message["type"] == "message":
            self.tries = 0
            if message["id"] > self.after:
                self.after = message["id"]
                self.items.put_nowait(message)
        elif message["type"] == "ack":
            self.tries = 0
            _, future = self.waiting.pop(message["key"], (None, None))
            if future is not None and not future.done():
                future.set_result(message["id"])
