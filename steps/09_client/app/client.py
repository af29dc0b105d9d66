"""Step 09, lesson: a client that reconnects in a bare loop."""

import asyncio
import json
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException


class BareClient:
    """A member of a room that reconnects immediately, and remembers nothing.

    Args:
        url: the room's URL, such as `ws://127.0.0.1:8000/ws/lobby?name=Ada`.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.attempts = 0
        """The number of attempts to connect, including those that succeeded."""
        self._inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue(maxsize=1000)
        self._websocket: ClientConnection | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def send(self, text: str) -> None:
        """Send a message to the room, if there's a connection."""
        if self._websocket:
            with suppress(ConnectionClosed):
                await self._websocket.send(json.dumps({"type": "message", "text": text}))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> dict[str, Any]:
        return await self._inbox.get()

    async def _run(self) -> None:
        while True:
            self.attempts += 1
            with suppress(OSError, WebSocketException):
                async with connect(self.url) as self._websocket:
                    async for data in self._websocket:
                        message = json.loads(data)
                        if message == {"type": "ping"}:
                            await self._websocket.send('{"type": "pong"}')
                        else:
                            await self._inbox.put(message)
