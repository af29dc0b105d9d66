"""Step 09, solution: a client that comes back."""

import asyncio
import json
import logging
import random
import uuid
from collections import deque
from contextlib import suppress
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.uri import parse_uri

logger = logging.getLogger(__name__)

STOPPING_CODES = {1008, 4401}
STOPPING_STATUSES = {401, 403}
MESSAGE_TOO_BIG = 1009
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
        parse_uri(url)  # Raises InvalidURI or ValueError. Later, these come from a redirect, and are tried again.
        self.url = url
        self.after = after
        self.base = base
        self.cap = cap
        self.silence = silence
        self.stopped: int | None = None
        """The close code or HTTP status that stopped it for good."""
        self._tries = 0
        self._inbox: deque[dict[str, Any]] = deque()
        # By key, in the order in which they were sent.
        self._unacknowledged: dict[str, tuple[str, asyncio.Future[int]]] = {}
        self._window = asyncio.Semaphore(MAX_UNACKNOWLEDGED)
        # Keys that this connection has sent, and that the server hasn't answered. Their senders may have given up.
        self._sent: set[str] = set()
        # After a 1009, the keys that are sent again one at a time: one of them may be too large for the server.
        self._suspects: set[str] = set()
        self._must_wait = False
        self._ended = False
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
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.result()  # raises what went wrong in it

    async def send(self, text: str) -> int:
        """Send a message to the room.

        Returns:
            The id of the message, once it is acknowledged.

        Raises:
            ConnectionError: the client has stopped or ended.
            ValueError: the server never accepts this message, or it can't be encoded.
        """
        text.encode()  # Half an emoji has no bytes: UnicodeEncodeError, which is a ValueError.
        async with self._window:
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

    def __aiter__(self) -> Self:
        """The messages and gaps, as they come, until the client stops or ends."""
        return self

    async def __anext__(self) -> dict[str, Any]:
        async with self._changed:
            await self._changed.wait_for(lambda: self._inbox or self._ended)
            if not self._inbox:
                raise StopAsyncIteration
            self._changed.notify_all()
            return self._inbox.popleft()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _stay(self) -> None:
        try:
            while self.stopped is None:
                await self._connect_once()
                if self.stopped is None:
                    await self._back_off()
        finally:
            self._ended = True
            for _, acknowledged in self._unacknowledged.values():
                if not acknowledged.done():
                    acknowledged.set_exception(ConnectionError("the client has ended"))
            await self._tell()

    async def _back_off(self) -> None:
        # Random, so that a thousand clients of a server that restarts do not come back together.
        longest = min(self.cap, self.base * 2 ** min(self._tries, 64))
        self._tries += 1
        await asyncio.sleep(random.uniform(longest / 2, longest))

    async def _connect_once(self) -> None:
        """One connection, from its handshake to its end."""
        self._sent.clear()
        self._must_wait = False
        try:
            # The server decides how large a message may be, and its pings take the place of the library's own. If it
            # doesn't answer a close frame, the client goes on after a second.
            async with connect(
                self._address(),
                max_size=None,
                open_timeout=min(self.silence, 10),
                ping_interval=None,
                close_timeout=1,
            ) as websocket:
                try:
                    async with asyncio.TaskGroup() as group:
                        writing = group.create_task(self._write(websocket))
                        await self._read(websocket)
                        writing.cancel()
                finally:
                    # A network that takes nothing more would keep close() waiting.
                    if websocket.transport.get_write_buffer_size():
                        websocket.transport.abort()
            if websocket.close_code in STOPPING_CODES:
                self.stopped = websocket.close_code
            elif websocket.close_code == MESSAGE_TOO_BIG:
                await self._find_too_big()
        except InvalidStatus as error:
            if error.response.status_code in STOPPING_STATUSES:
                self.stopped = error.response.status_code
        except (OSError, ValueError, WebSocketException):
            pass  # no server, not yet, or a redirect to a bad address

    def _address(self) -> str:
        """The address with after= in its query."""
        parts = urlsplit(self.url)
        query = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name != "after"]
        return parts._replace(query=urlencode([*query, ("after", self.after)])).geturl()

    async def _read(self, websocket: ClientConnection) -> None:
        # A network can end without a close frame or an error. Then only the silence shows it.
        with suppress(ConnectionClosed, TimeoutError):
            while True:
                async with asyncio.timeout(self.silence):
                    frame = await websocket.recv()
                match self._parse(frame):
                    case {"type": "message", "id": int(message_id)} as message if message_id > self.after:
                        self._tries = 0
                        await self._hand_on(message, message_id)
                    case {"type": "gap", "missed": int(missed)} as gap:
                        await self._hand_on(gap, self.after + missed)
                    case {"type": "ack", "key": str(key), "id": int(message_id)}:
                        self._tries = 0
                        await self._settle(key, message_id)
                    case {"type": "error", "key": str(key), "retry": True}:
                        await self._send_again(key)
                    case {"type": "error", "key": str(key), "detail": detail}:
                        await self._settle(key, ValueError(detail))
                    case {"type": "ping"}:
                        async with asyncio.timeout(self.silence):
                            await websocket.send('{"type": "pong"}')

    @staticmethod
    def _parse(frame: str | bytes) -> Any:
        try:
            return json.loads(frame)
        except ValueError:
            logger.warning("A frame of the server isn't JSON, and is left out: %.100r", frame)
            return None

    async def _hand_on(self, item: dict[str, Any], after: int) -> None:
        async with self._changed:
            # While this waits, nothing is read, so the server has to wait too.
            await self._changed.wait_for(lambda: len(self._inbox) < MAX_INBOX)
            self._inbox.append(item)
            self.after = after
            self._changed.notify_all()

    async def _settle(self, key: str, result: int | ValueError) -> None:
        """End the send() of a message: with its id, or with what it raises."""
        self._sent.discard(key)
        _, acknowledged = self._unacknowledged.pop(key, (None, None))
        # It's done already if the task that waited for it was canceled.
        if acknowledged and not acknowledged.done():
            if isinstance(result, int):
                acknowledged.set_result(result)
            else:
                acknowledged.set_exception(result)
        await self._tell()

    async def _send_again(self, key: str) -> None:
        """Let the writer send a message once more, after a delay: the server can't accept it now."""
        self._sent.discard(key)
        self._must_wait |= key in self._unacknowledged
        await self._tell()

    async def _find_too_big(self) -> None:
        """Find out which message the server closed the connection for."""
        if len(self._sent) == 1:
            await self._settle(next(iter(self._sent)), ValueError("the message is too large for the server"))
        self._suspects = set(self._unacknowledged)

    def _unsent(self) -> list[str]:
        """Return the keys that are to be sent now, in order."""
        keys = [key for key in self._unacknowledged if key not in self._sent]
        if self._suspects & self._unacknowledged.keys():
            # One at a time, each after the answer to the one before.
            return [] if self._sent else keys[:1]
        return keys

    async def _write(self, websocket: ClientConnection) -> None:
        """Send what is not acknowledged, in order: first what earlier connections left, then what comes."""
        while True:
            async with self._changed:
                await self._changed.wait_for(self._unsent)
            if self._must_wait:
                await self._back_off()
                self._must_wait = False
            for key in self._unsent():
                # While the one before was sent, this one may have been given up.
                if key in self._unacknowledged:
                    text, _ = self._unacknowledged[key]
                    self._sent.add(key)
                    with suppress(ConnectionClosed):
                        await websocket.send(json.dumps({"type": "message", "text": text, "key": key}))
