"""Step 09, exercise: a client that comes back."""

import asyncio
import json
import random
import uuid
from collections import deque
from contextlib import suppress
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

STOPPING_CODES = {1008, 4401}
STOPPING_STATUSES = {401, 403}


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
        self._tries = 0
        self._inbox: deque[dict[str, Any]] = deque()
        # By key, in the order in which they were sent.
        self._unacknowledged: dict[str, tuple[str, asyncio.Future[int]]] = {}
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

    def __aiter__(self) -> Self:
        """The messages and gaps, as they come, until the client stops or ends."""
        return self

    async def __anext__(self) -> dict[str, Any]:
        async with self._changed:
            await self._changed.wait_for(lambda: self._inbox or self._ended)
            if not self._inbox:
                raise StopAsyncIteration
            return self._inbox.popleft()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _stay(self) -> None:
        try:
            while self.stopped is None:
                await self._connect_once()
                if self.stopped is None:
                    # Random, so that a thousand clients of a server that restarts do not come back together.
                    longest = min(self.cap, self.base * 2 ** min(self._tries, 64))
                    self._tries += 1
                    await asyncio.sleep(random.uniform(longest / 2, longest))
        finally:
            self._ended = True
            for _, acknowledged in self._unacknowledged.values():
                if not acknowledged.done():
                    acknowledged.set_exception(ConnectionError("the client has ended"))
            await self._tell()

    async def _connect_once(self) -> None:
        """One connection, from its handshake to its end."""
        try:
            # The server decides how large a message may be. What it does not answer to a goodbye is not waited for.
            async with connect(self._address(), max_size=None, close_timeout=1) as websocket:
                async with asyncio.TaskGroup() as group:
                    writing = group.create_task(self._write(websocket))
                    await self._read(websocket)
                    writing.cancel()
            if websocket.close_code in STOPPING_CODES:
                self.stopped = websocket.close_code
        except InvalidStatus as error:
            if error.response.status_code in STOPPING_STATUSES:
                self.stopped = error.response.status_code
        except (OSError, InvalidHandshake):
            pass  # nobody is there, or not yet

    def _address(self) -> str:
        """The address with after= in its query."""
        parts = urlsplit(self.url)
        query = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name != "after"]
        return parts._replace(query=urlencode([*query, ("after", self.after)])).geturl()

    async def _read(self, websocket: ClientConnection) -> None:
        with suppress(ConnectionClosed):
            async for frame in websocket:
                match json.loads(frame):
                    case {"type": "message", "id": message_id} as message if message_id > self.after:
                        self._tries = 0
                        await self._hand_on(message, message_id)
                    case {"type": "gap", "missed": missed} as gap:
                        await self._hand_on(gap, self.after + missed)
                    case {"type": "ack", "key": key, "id": message_id}:
                        self._tries = 0
                        if key in self._unacknowledged:
                            # Done already, if whoever waited for it has given up.
                            with suppress(asyncio.InvalidStateError):
                                self._unacknowledged[key][1].set_result(message_id)
                    case {"type": "ping"}:
                        await websocket.send('{"type": "pong"}')

    async def _hand_on(self, item: dict[str, Any], after: int) -> None:
        async with self._changed:
            self._inbox.append(item)
            self.after = after
            self._changed.notify_all()

    async def _write(self, websocket: ClientConnection) -> None:
        """Send what is not acknowledged, in order: first what earlier connections left, then what comes."""
        sent: set[str] = set()
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._unacknowledged.keys() - sent)
            for key, (text, _) in list(self._unacknowledged.items()):
                if key not in sent:
                    sent.add(key)
                    with suppress(ConnectionClosed):
                        await websocket.send(json.dumps({"type": "message", "text": text, "key": key}))
