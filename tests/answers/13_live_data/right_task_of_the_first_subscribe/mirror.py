"""Step 13: a client that iterates over connections, with its own delay after each."""

import asyncio
import json
import logging
import random
from collections.abc import Iterable
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

STALE_AFTER = 1.0


class Mirror:
    def __init__(self, url: str, topics: Iterable[str]) -> None:
        self.url = url
        self.topics = sorted(topics)
        self.values: dict[str, float] = {}
        self.seq = 0
        self._asked = False
        self._received_at = float("-inf")
        self._attempts = 0

    @property
    def stale(self) -> bool:
        return asyncio.get_running_loop().time() > self._received_at + STALE_AFTER

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        # connect() waits with delays of its own after refused handshakes.
        async for websocket in connect(self.url, close_timeout=0.5):
            try:
                await self._ask(websocket)
                async for data in websocket:
                    self._received_at = asyncio.get_running_loop().time()
                    await self._handle(websocket, json.loads(data))
            except ConnectionClosed:
                pass
            await asyncio.sleep(random.uniform(0.5, 1) * min(10, 0.5 * 2**self._attempts))
            self._attempts = min(self._attempts + 1, 10)

    async def _ask(self, websocket: ClientConnection) -> None:
        self._asked = True
        await websocket.send(json.dumps({"type": "subscribe", "topics": self.topics}))

    async def _handle(self, websocket: ClientConnection, message: dict[str, Any]) -> None:
        if message["type"] == "snapshot":
            self.values = message["values"]
            self.seq = message["seq"]
            self._asked = False
            self._attempts = 0
        elif message["type"] == "values":
            if not self._asked and message["last"] > self.seq:
                if message["first"] == self.seq + 1:
                    self.values.update(message["values"])
                    self.seq = message["last"]
                else:
                    await self._ask(websocket)
            await websocket.send(json.dumps({"type": "seen", "last": message["last"]}))
        elif message["type"] == "error":
            logging.warning("error: %s", message["detail"])
