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

# TODO 4: reconnect when the connection ends, and when nothing at all has come for `silence` seconds. Each connect
#         carries after= the last id handed on. Messages that aren't acknowledged are sent again with their keys, in
#         order. Nothing is handed on twice. A ping gets a pong.
#         Two limits: while MAX_UNACKNOWLEDGED messages wait for their acknowledgement, a further send() waits. While
#         MAX_INBOX items wait for the reader, nothing is read from the connection.
#         At the end every task is ended and awaited, and each send() that waits raises ConnectionError.
# TODO 5: connect immediately. After that, wait before try n, from 0, between half and the whole of
#         min(cap, base * 2**n), at random. n is 0 again when a message or an ack has come; a handshake or a gap alone
#         does not reset it. After an error with "retry": true, send its message again on the same connection, after
#         such a wait.
# TODO 6: stop for good on the close codes 1008 and 4401 and on HTTP 401 and 403; `stopped` is that code. Refused
#         connections, other statuses and every other close code are tried again.
#         A single message can be final too: its send() raises ValueError if its text can't be encoded, after an error
#         with "retry": false, and after a close with 1009 if no other message was sent and not acknowledged. If others
#         were, send one at a time after a 1009, each after the acknowledgement of the one before.
# TODO 7: three of these, a server with a JOURNAL, and somebody who kills it again and again: every send() ends well,
#         and every reader has every message once, in one order. Nothing new is to be written, if 1 to 6 hold together.

MAX_UNACKNOWLEDGED = 100
"""Messages that may wait for their acknowledgement. The server knows the last 1000 keys of a room."""
MAX_INBOX = 2000
"""Items that may wait for the reader. While there are as many, the client doesn't read from its connection."""


class ResilientClient:
    """A member of a room who stays one: it reconnects, misses nothing and doubles nothing.

    Iterate over it in a task of its own, also if you only send: acknowledgements arrive behind the room's messages.

    Args:
        url: of the room's socket, such as `ws://127.0.0.1:8000/ws/lobby?name=Ada`.
        after: the id of the last message that you know; 0 for none.
        base: seconds; the first delay before a new try is at most this.
        cap: seconds; no delay is longer.
        silence: seconds; if nothing at all comes for this time, the client reconnects.
    """

    def __init__(
        self, url: str, *, after: int = 0, base: float = 0.5, cap: float = 10.0, silence: float = 40.0
    ) -> None:
        self.url = url
        self.after = after
        self.base = base
        self.cap = cap
        self.silence = silence
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
        """Send a message to the room.

        Returns:
            The id of the message, once it is acknowledged.

        Raises:
            ConnectionError: the client has stopped or ended.
            ValueError: the server never accepts this message, or it can't be encoded.
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
