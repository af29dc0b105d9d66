"""Step 09, exercise: a client that reconnects.

In the folder of the course:

Run it:    uvicorn exercise.main:app --app-dir steps/09_client --reload
Judge it:  pytest --exercise 9

Your tasks are in this file. The rest is the solution of step 08, which is the server that your client connects to.
"""

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

# TODO 1: reconnect when the connection ends. Each handshake has after= the last id that you delivered, which is to put
#         it into the inbox. Deliver no message twice. Send unacknowledged messages again with their keys, in order.
#         Answer a ping with a pong. At the end, cancel and await every task, and let each waiting send() raise
#         ConnectionError.
# TODO 2: two limits. While MAX_UNACKNOWLEDGED messages are unacknowledged, a further send() waits. While MAX_INBOX
#         items are in the inbox, receive nothing from the connection.
# TODO 3: reconnect when nothing has arrived for `silence` seconds, also while a send or a handshake waits.
# TODO 4: connect immediately. After that, sleep before attempt n, counted from 0, for a random time between half and
#         all of min(cap, base * 2**n). A message or an ack resets n to 0; a handshake or a gap alone doesn't. After an
#         error with "retry": true, send its message again on the same connection, after such a delay.
# TODO 5: the close codes 1008 and 4401 and HTTP 401 and 403 are fatal: stop, and set `stopped` to that code. Refused
#         connections, other statuses and all other close codes are transient: try again.
#         An error can also be fatal for a single message. Let its send() raise ValueError if its text can't be encoded,
#         after an error with "retry": false, and after a close with 1009 if it's the only message that was sent and
#         isn't acknowledged. If there are others, send one at a time, each after the previous acknowledgement.
# TODO 6: with three of these clients and a server with a JOURNAL that's killed repeatedly, every send() returns, and
#         every reader gets each message once, in the same order. If 1 to 5 work together, you have nothing to add.

MAX_UNACKNOWLEDGED = 100
"""Unacknowledged messages; further calls of send() wait. The server deduplicates the last 1000 keys of a room."""
MAX_INBOX = 2000
"""Items in the inbox. While another one waits for room, the client receives nothing from its connection."""


class ResilientClient:
    """A member of a room that reconnects, and delivers each message once.

    Iterate over it in a separate task, even if you only send: acknowledgements arrive after the room's messages.

    Args:
        url: the room's URL, such as `ws://127.0.0.1:8000/ws/lobby?name=Ada`.
        after: the id of the last message that you have; 0 for none.
        base: seconds; the first delay before a reconnect is at most this long.
        cap: seconds; no delay is longer.
        silence: seconds; if nothing arrives for this time, the client reconnects.
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
        """The fatal close code or HTTP status that stopped the client."""
        self._inbox: deque[dict[str, Any]] = deque()
        # By key, in the order of send(): the text, and the future for its id.
        self._unacknowledged: dict[str, tuple[str, asyncio.Future[int]]] = {}
        self._ended = False
        # Notified when one of these three has changed.
        self._changed = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._task.cancel()

    async def send(self, text: str) -> int:
        """Send a message to the room.

        Returns:
            The id of the message, when it's acknowledged.

        Raises:
            ConnectionError: the client has stopped or ended.
            ValueError: the server rejects this message for good, or it can't be encoded.
        """
        if self._task is None or self._ended:
            raise ConnectionError("the client has ended, or wasn't started with async with")
        key = uuid.uuid4().hex
        acknowledged: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._unacknowledged[key] = (text, acknowledged)
        await self._notify()
        try:
            return await acknowledged
        finally:
            self._unacknowledged.pop(key, None)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def __aiter__(self) -> Self:
        """Return an iterator over messages and gaps. It ends when the client stops or ends."""
        return self

    async def __anext__(self) -> dict[str, Any]:
        async with self._changed:
            await self._changed.wait_for(lambda: self._inbox or self._ended)
            if not self._inbox:
                raise StopAsyncIteration
            return self._inbox.popleft()

    def _resume_url(self) -> str:
        """Return the URL with the resume offset, after=, in its query."""
        parts = urlsplit(self.url)
        query = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name != "after"]
        return parts._replace(query=urlencode([*query, ("after", self.after)])).geturl()

    async def _run(self) -> None:
        with suppress(OSError, ConnectionClosed):
            async with connect(self._resume_url(), max_size=None, close_timeout=1) as websocket:
                async for data in websocket:
                    message = json.loads(data)
                    if message["type"] in ("message", "gap"):
                        self._inbox.append(message)
                        await self._notify()
        self._ended = True
        await self._notify()
