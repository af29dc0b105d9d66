"""Step 09: a client that reconnects, as one loop."""

import asyncio
import json
import random
import secrets
from collections import deque
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

WINDOW, INBOX = 100, 2000


class ResilientClient:
    def __init__(
        self, url: str, *, after: int = 0, base: float = 0.5, cap: float = 10.0, silence: float = 40.0
    ) -> None:
        self.url, self.after, self.base, self.cap, self.silence = url, after, base, cap, silence
        self.stopped: int | None = None
        self.items: deque[dict[str, Any]] = deque()
        self.news = asyncio.Event()
        self.has_room = asyncio.Event()
        self.has_room.set()
        self.waiting: dict[str, tuple[str, asyncio.Future[int]]] = {}
        self.window = asyncio.Semaphore(WINDOW)
        self.something_to_send = asyncio.Event()
        self.sent: set[str] = set()
        # After a 1009: one of these is too large.
        self.careful: set[str] = set()
        self.over = False
        self.tries = 0

    async def __aenter__(self) -> "ResilientClient":
        self.task = asyncio.create_task(self.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        # Again, because a task that's canceled before its first step runs no finally.
        self.end()

    async def send(self, text: str) -> int:
        text.encode()
        key = secrets.token_urlsafe(16)
        async with self.window:
            if self.over:
                raise ConnectionError("over")
            future = asyncio.get_running_loop().create_future()
            self.waiting[key] = (json.dumps({"type": "message", "text": text, "key": key}), future)
            self.something_to_send.set()
            try:
                return await future
            finally:
                self.waiting.pop(key, None)

    async def __aiter__(self):
        while self.items or not self.over:
            if self.items:
                item = self.items.popleft()
                self.has_room.set()
                yield item
            else:
                self.news.clear()
                await self.news.wait()

    async def run(self) -> None:
        try:
            while self.stopped is None:
                code = None
                try:
                    await self.once()
                except InvalidStatus as error:
                    code = error.response.status_code
                except ConnectionClosed as error:
                    code = error.rcvd.code if error.rcvd else None
                except (OSError, WebSocketException):
                    pass
                if code in (401, 403, 1008, 4401):
                    self.stopped = code
                    return
                if code == 1009:
                    self.careful = self.sent & self.waiting.keys()
                    if len(self.careful) == 1:
                        self.finish(self.careful.pop(), ValueError("the message is too large"))
                await asyncio.sleep(self.delay())
        finally:
            self.end()

    def end(self) -> None:
        self.over = True
        self.news.set()
        for key in list(self.waiting):
            self.finish(key, ConnectionError("over"))

    def delay(self) -> float:
        max_delay = min(self.cap, self.base * 2.0**self.tries)
        self.tries = min(self.tries + 1, 50)
        return max_delay * (0.5 + random.random() / 2)

    def finish(self, key: str, result: int | Exception) -> None:
        _, future = self.waiting.pop(key, (None, None))
        self.something_to_send.set()
        if future is None or future.done():
            return
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)

    def address(self) -> str:
        address, _, query = self.url.partition("?")
        kept = [part for part in query.split("&") if part and part.partition("=")[0] != "after"]
        return f"{address}?{'&'.join([*kept, f'after={self.after}'])}"

    async def once(self) -> None:
        self.sent.clear()
        self.send_at = 0.0
        loop = asyncio.get_running_loop()
        async with connect(
            self.address(),
            max_size=None,
            open_timeout=self.silence,
            ping_interval=None,
            close_timeout=0.5,
        ) as websocket:
            self.something_to_send.set()
            data = asyncio.ensure_future(self.receive(websocket))
            more = asyncio.ensure_future(self.something_to_send.wait())
            try:
                while True:
                    pause = self.send_at - loop.time()
                    if pause > 0:
                        await asyncio.wait([data], timeout=pause)
                    else:
                        await asyncio.wait([data, more], return_when=asyncio.FIRST_COMPLETED)
                    if more.done() and loop.time() >= self.send_at:
                        self.something_to_send.clear()
                        async with asyncio.timeout(self.silence):
                            await self.send_more(websocket)
                        more = asyncio.ensure_future(self.something_to_send.wait())
                    if data.done():
                        async with asyncio.timeout(self.silence):
                            await self.take(websocket, json.loads(data.result()))
                        data = asyncio.ensure_future(self.receive(websocket))
            finally:
                # Otherwise close() waits until the buffer is empty, however long the network takes nothing.
                loop.call_later(0.5, websocket.transport.abort)
                for each in (data, more):
                    each.cancel()
                await asyncio.gather(data, more, return_exceptions=True)

    async def receive(self, websocket: Any) -> str:
        await self.has_room.wait()
        async with asyncio.timeout(self.silence):
            return await websocket.recv()

    async def send_more(self, websocket: Any) -> None:
        for key, (data, _) in list(self.waiting.items()):
            if self.careful & self.waiting.keys() and self.sent & self.waiting.keys():
                return
            if key in self.waiting and key not in self.sent:
                self.sent.add(key)
                await websocket.send(data)

    async def take(self, websocket: Any, message: dict[str, Any]) -> None:
        match message:
            case {"type": "ping"}:
                await websocket.send('{"type": "pong"}')
            case {"type": "gap", "missed": missed}:
                self.hand_on(message, self.after + missed)
            case {"type": "message", "id": number} if number > self.after:
                self.tries = 0
                self.hand_on(message, number)
            case {"type": "ack", "key": key, "id": number}:
                self.tries = 0
                self.finish(key, number)
            case {"type": "error", "key": key, "retry": True}:
                self.sent.discard(key)
                self.send_at = max(self.send_at, asyncio.get_running_loop().time() + self.delay())
                self.something_to_send.set()
            case {"type": "error", "key": key, "detail": detail}:
                self.finish(key, ValueError(detail))

    def hand_on(self, item: dict[str, Any], after: int) -> None:
        self.after = after
        self.items.append(item)
        self.news.set()
        if len(self.items) >= INBOX:
            self.has_room.clear()
