"""Step 13: a client with a queue between its connection and its values, both in a task group."""

import asyncio
import json
import logging
import random
from collections.abc import Iterable
from typing import Any, Self

import websockets

STALE_AFTER = 1.0


class Mirror:
    def __init__(self, url: str, topics: Iterable[str]) -> None:
        self.url = url
        self.topics = list(topics)
        self.values: dict[str, float] = {}
        self.seq = 0
        self.stale = True
        self._timer: asyncio.TimerHandle | None = None
        self._failures = 0

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])
        if self._timer:
            self._timer.cancel()

    async def _run(self) -> None:
        while True:
            try:
                async with websockets.connect(self.url, close_timeout=0.5) as websocket:
                    inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
                    async with asyncio.TaskGroup() as tasks:
                        tasks.create_task(self._read(websocket, inbox))
                        tasks.create_task(self._apply(websocket, inbox))
            except* (OSError, websockets.WebSocketException):
                pass
            delay = min(10.0, 0.5 * 2**self._failures)
            self._failures = min(self._failures + 1, 20)
            await asyncio.sleep(delay * (0.5 + random.random() / 2))

    async def _read(self, websocket: websockets.ClientConnection, inbox: asyncio.Queue[dict[str, Any]]) -> None:
        while True:
            inbox.put_nowait(json.loads(await websocket.recv()))
            self.stale = False
            if self._timer:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_later(STALE_AFTER, setattr, self, "stale", True)

    async def _apply(self, websocket: websockets.ClientConnection, inbox: asyncio.Queue[dict[str, Any]]) -> None:
        subscribe = json.dumps({"type": "subscribe", "topics": self.topics})
        while True:
            await websocket.send(subscribe)
            while (message := await inbox.get())["type"] != "snapshot":
                pass
            self._failures = 0
            self.values, self.seq = message["values"], message["seq"]
            while True:
                message = await inbox.get()
                if message["type"] == "error":
                    logging.getLogger("mirror").warning(message)
                if message["type"] != "values":
                    continue
                await websocket.send(json.dumps({"type": "seen", "last": message["last"]}))
                if message["last"] <= self.seq:
                    continue
                if message["first"] != self.seq + 1:
                    break
                self.values.update(message["values"])
                self.seq = message["last"]
