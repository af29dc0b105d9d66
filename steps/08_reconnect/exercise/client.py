"""Step 08, exercise: a client that comes back."""

import asyncio
import json
import uuid
from collections import deque
from contextlib import suppress
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

# TODO 4: come back when the connection ends. Each connect carries after= the last id handed on. A message that is not
#         acknowledged is sent again, with its key, in order. Nothing is handed on twice. A ping gets a pong.
#         At the end every task is ended and awaited, and whoever waits in send() gets ConnectionError.
# TODO 5: connect at once. After that, wait before try n, from 0, between half and the whole of min(cap, base * 2**n),
#         at random. n is 0 again when a message or an ack has come; a handshake alone does not reset it.
# TODO 6: stop for good on the close codes 1008 and 4401 and on HTTP 401 and 403; `stopped` is that code. Refused
#         connections, 5xx and every other close code are tried again.
# TODO 7: three of these, a server with a JOURNAL, and somebody who kills it again and again: every send() ends well,
#         and every reader has every message once, in one order. Nothing new is to be written, if 1 to 6 hold together.


class ResilientClient:
    """A member of a room who stays one: it reconnects, misses nothing and doubles nothing.

    Args:
        url: of the room's socket, such as `ws://127.0.0.1:8000/ws/lobby?name=Ada`.
        after: the id of the last message that you know; 0 for none.
        base: seconds; the first delay before a new try is at most this.
        cap: seconds; no delay is longer.
    """

    def __init__(self, url: str, *, after: int = 0, base: float = 0.5, cap: float = 10.0) -> None:
        self.url = url
        self.after = after
        self.base = base
        self.cap = cap
        self.stopped: int | None = None
        """The close code or HTTP status that stopped it for good."""
        self._inbox: deque[dict[str, Any]] = deque()
        # By key, in the order in which they were sent: the text, and who waits for its id.
        self._unacknowledged: dict[str, tuple[str, asyncio.Future[int]]] = {}
        self._ended = False
        # Told whenever one of these three has changed.
        self._changed = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._stay())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._task.cancel()

    async def send(self, text: str) -> int:
        """Say something to the room.

        Returns:
            The id of the message, once it is acknowledged.

        Raises:
            ConnectionError: the client has stopped or ended.
        """
        if self._task is None or self._ended:
            raise ConnectionError("the client has ended, or was not begun with async with")
        key = uuid.uuid4().hex
        acknowledged: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._unacknowledged[key] = (text, acknowledged)
        await self._tell()
        try:
            return await acknowledged
        finally:
            self._unacknowledged.pop(key, None)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def __aiter__(self) -> Self:
        """The messages and gaps, as they come, until the client stops or ends."""
        return self

    async def __anext__(self) -> dict[str, Any]:
        async with self._changed:
            await self._changed.wait_for(lambda: self._inbox or self._ended)
            if not self._inbox:
                raise StopAsyncIteration
            return self._inbox.popleft()

    def _address(self) -> str:
        """The address with after= in its query."""
        parts = urlsplit(self.url)
        query = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name != "after"]
        return parts._replace(query=urlencode([*query, ("after", self.after)])).geturl()

    async def _stay(self) -> None:
        with suppress(OSError, ConnectionClosed):
            async with connect(self._address(), max_size=None, close_timeout=1) as websocket:
                async for frame in websocket:
                    message = json.loads(frame)
                    if message["type"] in ("message", "gap"):
                        self._inbox.append(message)
                        await self._tell()
        self._ended = True
        await self._tell()
