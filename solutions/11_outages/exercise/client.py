"""Step 09, solution: a client that reconnects."""

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

FATAL_CLOSE_CODES = {1008, 4401}
FATAL_STATUSES = {401, 403}
MESSAGE_TOO_BIG = 1009
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
        parse_uri(url)  # Raises InvalidURI or ValueError. Later, a redirect may raise these, and they're transient.
        self.url = url
        self.after = after
        self.base = base
        self.cap = cap
        self.silence = silence
        self.stopped: int | None = None
        """The fatal close code or HTTP status that stopped the client."""
        self._attempt = 0
        self._inbox: deque[dict[str, Any]] = deque()
        # By key, in the order of send(): the text, and the future for its id.
        self._unacknowledged: dict[str, tuple[str, asyncio.Future[int]]] = {}
        self._window = asyncio.Semaphore(MAX_UNACKNOWLEDGED)
        # Keys sent on this connection and not answered yet, including those of canceled calls.
        self._in_flight: set[str] = set()
        # After a 1009, the keys to send one at a time: one of them may be too large for the server.
        self._suspects: set[str] = set()
        self._must_back_off = False
        self._ended = False
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
        await asyncio.wait([self._task])
        # Again, because a task that's canceled before its first step runs no finally.
        await self._end()
        if not self._task.cancelled():
            self._task.result()  # Raise the task's exception.

    async def send(self, text: str) -> int:
        """Send a message to the room.

        Returns:
            The id of the message, when it's acknowledged.

        Raises:
            ConnectionError: the client has stopped or ended.
            ValueError: the server rejects this message for good, or it can't be encoded.
        """
        text.encode()  # Half an emoji can't be encoded: UnicodeEncodeError, which is a ValueError.
        async with self._window:
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

    def __aiter__(self) -> Self:
        """Return an iterator over messages and gaps. It ends when the client stops or ends."""
        return self

    async def __anext__(self) -> dict[str, Any]:
        async with self._changed:
            await self._changed.wait_for(lambda: self._inbox or self._ended)
            if not self._inbox:
                raise StopAsyncIteration
            self._changed.notify_all()
            return self._inbox.popleft()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _run(self) -> None:
        try:
            while self.stopped is None:
                await self._connect_once()
                if self.stopped is None:
                    await self._back_off()
        finally:
            await self._end()

    async def _end(self) -> None:
        self._ended = True
        for _, acknowledged in self._unacknowledged.values():
            if not acknowledged.done():
                acknowledged.set_exception(ConnectionError("the client has ended"))
        await self._notify()

    async def _back_off(self) -> None:
        # Jitter: after a restart of the server, a thousand clients must not reconnect at the same time.
        max_delay = min(self.cap, self.base * 2 ** min(self._attempt, 64))
        self._attempt += 1
        await asyncio.sleep(random.uniform(max_delay / 2, max_delay))

    async def _connect_once(self) -> None:
        """Open a connection, and use it until it ends."""
        self._in_flight.clear()
        self._must_back_off = False
        try:
            # The server limits the size of messages, and its pings replace those of the library. If it doesn't answer
            # a close frame, the client continues after a second.
            async with connect(
                self._resume_url(),
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
                    # If the network accepts no data, close() would wait.
                    if websocket.transport.get_write_buffer_size():
                        websocket.transport.abort()
            if websocket.close_code in FATAL_CLOSE_CODES:
                self.stopped = websocket.close_code
            elif websocket.close_code == MESSAGE_TOO_BIG:
                await self._find_too_big()
        except InvalidStatus as error:
            if error.response.status_code in FATAL_STATUSES:
                self.stopped = error.response.status_code
        except (OSError, ValueError, WebSocketException):
            pass  # Transient: no server, a server that isn't ready, or a redirect to an invalid URL.

    def _resume_url(self) -> str:
        """Return the URL with the resume offset, after=, in its query."""
        parts = urlsplit(self.url)
        query = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name != "after"]
        return parts._replace(query=urlencode([*query, ("after", self.after)])).geturl()

    async def _read(self, websocket: ClientConnection) -> None:
        # A half-open connection ends without a close frame or an error. Only a timeout detects it.
        with suppress(ConnectionClosed, TimeoutError):
            while True:
                async with asyncio.timeout(self.silence):
                    data = await websocket.recv()
                match self._parse(data):
                    case {"type": "message", "id": int(message_id)} as message if message_id > self.after:
                        self._attempt = 0
                        await self._deliver(message, message_id)
                    case {"type": "gap", "missed": int(missed)} as gap:
                        await self._deliver(gap, self.after + missed)
                    case {"type": "ack", "key": str(key), "id": int(message_id)}:
                        self._attempt = 0
                        await self._settle(key, message_id)
                    case {"type": "error", "key": str(key), "retry": True}:
                        await self._requeue(key)
                    case {"type": "error", "key": str(key), "detail": detail}:
                        await self._settle(key, ValueError(detail))
                    case {"type": "ping"}:
                        async with asyncio.timeout(self.silence):
                            await websocket.send('{"type": "pong"}')

    @staticmethod
    def _parse(data: str | bytes) -> Any:
        try:
            return json.loads(data)
        except ValueError:
            logger.warning("A message from the server isn't JSON, and is left out: %.100r", data)
            return None

    async def _deliver(self, item: dict[str, Any], after: int) -> None:
        async with self._changed:
            # Backpressure: while this waits, the client receives nothing, so the server's sends wait too.
            await self._changed.wait_for(lambda: len(self._inbox) < MAX_INBOX)
            self._inbox.append(item)
            self.after = after
            self._changed.notify_all()

    async def _settle(self, key: str, result: int | ValueError) -> None:
        """Let the send() of a message return its id, or raise this error."""
        self._in_flight.discard(key)
        _, acknowledged = self._unacknowledged.pop(key, (None, None))
        # The future is done if the task that awaited it was canceled.
        if acknowledged and not acknowledged.done():
            if isinstance(result, int):
                acknowledged.set_result(result)
            else:
                acknowledged.set_exception(result)
        await self._notify()

    async def _requeue(self, key: str) -> None:
        """Let the writer send a message again after a delay: the server can't accept it now."""
        self._in_flight.discard(key)
        self._must_back_off |= key in self._unacknowledged
        await self._notify()

    async def _find_too_big(self) -> None:
        """Find the message that's too large for the server."""
        if len(self._in_flight) == 1:
            await self._settle(next(iter(self._in_flight)), ValueError("the message is too large for the server"))
        self._suspects = set(self._unacknowledged)

    def _unsent(self) -> list[str]:
        """Return the keys to send now, in order."""
        keys = [key for key in self._unacknowledged if key not in self._in_flight]
        if self._suspects & self._unacknowledged.keys():
            # One at a time, each after the previous answer.
            return [] if self._in_flight else keys[:1]
        return keys

    async def _write(self, websocket: ClientConnection) -> None:
        """Send the unacknowledged messages in order: first those of earlier connections, then new ones."""
        while True:
            async with self._changed:
                await self._changed.wait_for(self._unsent)
            if self._must_back_off:
                await self._back_off()
                self._must_back_off = False
            for key in self._unsent():
                # This one may have been canceled while the previous one was sent.
                if key in self._unacknowledged:
                    text, _ = self._unacknowledged[key]
                    self._in_flight.add(key)
                    with suppress(ConnectionClosed):
                        await websocket.send(json.dumps({"type": "message", "text": text, "key": key}))
