"""Step 13, exercise: a client that keeps a copy of the server's values."""

import asyncio
import json
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from websockets.asyncio.client import connect

# TODO 8: `values` equals the server's values of these topics at the sample `seq`. Answer each message with values with
#         seen. If its last isn't greater than seq, throw it away. If its first isn't seq + 1, ask for a snapshot once,
#         with another subscribe, and apply nothing before that snapshot. `stale` is True before the first message,
#         and if nothing has arrived for STALE_AFTER seconds. Log a warning for an error, and continue. After a lost or
#         closed connection, keep the values, and reconnect with the delays of step 09.

STALE_AFTER = 1.0
"""Seconds without a message after which the values may be out of date."""


class Mirror:
    """A copy of the newest values of some topics.

    Args:
        url: the URL of the feed, such as `ws://127.0.0.1:8000/ws`.
        topics: the topics to copy.
    """

    def __init__(self, url: str, topics: Iterable[str]) -> None:
        self.url = url
        self.topics = list(topics)
        self.values: dict[str, float] = {}
        """The newest value of each topic."""
        self.seq = 0
        """The server's number of the last sample in values."""
        self.stale = False
        """Whether nothing has arrived for STALE_AFTER seconds."""

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        async with connect(self.url) as websocket:
            await websocket.send(json.dumps({"type": "subscribe", "topics": self.topics}))
            async for data in websocket:
                message = json.loads(data)
                if message["type"] == "values":
                    self.values |= message["values"]
                    self.seq = message["last"]
