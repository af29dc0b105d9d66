"""Step 13, solution: a client that keeps a copy of the server's values."""

import asyncio
import json
import logging
import random
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.uri import parse_uri

logger = logging.getLogger(__name__)

STALE_AFTER = 1.0
"""Seconds without a message after which the values may be out of date."""


class Mirror:
    """A copy of the newest values of some topics, which reconnects when its connection is lost.

    Args:
        url: the URL of the feed, such as `ws://127.0.0.1:8000/ws`.
        topics: the topics to copy.
        base: seconds; the first delay before a reconnect is at most this long.
        cap: seconds; no delay is longer.
    """

    def __init__(self, url: str, topics: Iterable[str], *, base: float = 0.5, cap: float = 10.0) -> None:
        parse_uri(url)  # Raises InvalidURI or ValueError.
        self.url = url
        self.topics = list(topics)
        self.base = base
        self.cap = cap
        self.values: dict[str, float] = {}
        """The newest value of each topic. While stale is true, the server's may be newer."""
        self.seq = 0
        """The server's number of the last sample in values."""
        self._is_synced = False
        self._received_at: float | None = None
        self._attempt = 0
        self._task: asyncio.Task[None] | None = None

    @property
    def stale(self) -> bool:
        """Whether nothing has arrived for a second."""
        now = asyncio.get_running_loop().time()
        return self._received_at is None or now - self._received_at > STALE_AFTER

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.result()  # Raise the task's exception.

    async def _run(self) -> None:
        while True:
            try:
                async with connect(self.url, close_timeout=1) as websocket:
                    await self._subscribe(websocket)
                    async for data in websocket:
                        await self._receive(websocket, data)
            except (OSError, WebSocketException) as error:
                logger.info("The connection is lost: %s", error)
            # Jitter: after a restart of the server, a thousand viewers must not reconnect at the same time.
            max_delay = min(self.cap, self.base * 2 ** min(self._attempt, 64))
            self._attempt += 1
            await asyncio.sleep(random.uniform(max_delay / 2, max_delay))

    async def _subscribe(self, websocket: ClientConnection) -> None:
        self._is_synced = False
        await websocket.send(json.dumps({"type": "subscribe", "topics": self.topics}))

    async def _receive(self, websocket: ClientConnection, data: str | bytes) -> None:
        self._received_at = asyncio.get_running_loop().time()
        match parse(data):
            case {"type": "snapshot", "seq": int(seq), "values": dict(values)}:
                self.values, self.seq = values, seq
                self._is_synced = True
                self._attempt = 0
            case {"type": "values", "first": int(first), "last": int(last), "values": dict(values)}:
                # Answer each one, or the server sends no more.
                await websocket.send(json.dumps({"type": "seen", "last": last}))
                # Until the snapshot arrives, these are from before it. Ask for only one.
                if not self._is_synced or last <= self.seq:
                    return
                if first != self.seq + 1:
                    await self._subscribe(websocket)
                    return
                # A new dict: a reader may be using the one before.
                self.values, self.seq = self.values | values, last
            case {"type": "error", "detail": detail}:
                logger.warning("The server refuses a request: %.200s", detail)


def parse(data: str | bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        logger.warning("A message from the server isn't JSON, and is left out: %.100r", data)
        return None
