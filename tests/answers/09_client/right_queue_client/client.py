"""Step 09: a client that reconnects, with a queue for each direction."""

import asyncio
import json
import logging
import random
import uuid
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.uri import parse_uri

logger = logging.getLogger(__name__)

FATAL_CODES = {401, 403, 1008, 4401}
MESSAGE_TOO_BIG = 1009
MAX_UNACKNOWLEDGED = 100
MAX_INBOX = 2000
END: dict[str, Any] = {"type": "end"}
"""The last item of an inbox that isn't full."""


@dataclass(eq=False)
class Outgoing:
    """A message to send, and the future for its id."""

    key: str
    data: str
    acknowledged: asyncio.Future[int]


class ResilientClient:
    def __init__(
        self, url: str, *, after: int = 0, base: float = 0.5, cap: float = 10.0, silence: float = 40.0
    ) -> None:
        parse_uri(url)
        self.url = url
        self.after = after
        self.base = base
        self.cap = cap
        self.silence = silence
        self.stopped: int | None = None
        self._attempt = 0
        self._inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue(MAX_INBOX)
        self._window = asyncio.Semaphore(MAX_UNACKNOWLEDGED)
        self._unacknowledged: dict[str, Outgoing] = {}
        # Each connection gets a new outbox, with the unacknowledged messages in it.
        self._outbox: asyncio.Queue[Outgoing] = asyncio.Queue()
        # Keys sent on this connection and not answered yet.
        self._in_flight: set[str] = set()
        self._answered = asyncio.Event()
        # After a 1009, the keys to send one at a time.
        self._suspects: set[str] = set()
        self._ended = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])
        # Again, because a task that's canceled before its first step runs no finally.
        self._end()
        if not self._task.cancelled():
            self._task.result()

    async def send(self, text: str) -> int:
        text.encode()
        async with self._window:
            if self._task is None or self._ended:
                raise ConnectionError("the client has ended, or wasn't started with async with")
            key = str(uuid.uuid4())
            data = json.dumps({"type": "message", "text": text, "key": key})
            message = Outgoing(key, data, asyncio.get_running_loop().create_future())
            self._unacknowledged[key] = message
            self._outbox.put_nowait(message)
            try:
                return await message.acknowledged
            finally:
                self._unacknowledged.pop(key, None)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> dict[str, Any]:
        if self._ended and self._inbox.empty():
            raise StopAsyncIteration
        item = await self._inbox.get()
        if item is END:
            # Another task may iterate too.
            self._inbox.put_nowait(END)
            raise StopAsyncIteration
        return item

    async def _run(self) -> None:
        try:
            while True:
                code = await self._connect_once()
                if code in FATAL_CODES:
                    self.stopped = code
                    break
                if code == MESSAGE_TOO_BIG:
                    self._find_too_big()
                await asyncio.sleep(self._next_delay())
        finally:
            self._end()

    def _end(self) -> None:
        self._ended = True
        for message in list(self._unacknowledged.values()):
            self._settle(message.key, ConnectionError("the client has ended"))
        # If the inbox is full, no reader waits for an item, so it needs no END.
        with suppress(asyncio.QueueFull):
            self._inbox.put_nowait(END)

    def _next_delay(self) -> float:
        """Return the delay before the next attempt, in seconds, and count that attempt."""
        max_delay = min(self.cap, self.base * 2 ** min(self._attempt, 64))
        self._attempt += 1
        return max_delay * random.uniform(0.5, 1)

    async def _connect_once(self) -> int | None:
        """Use one connection until it ends. Return its close code, or the status of the handshake, if there is one."""
        parts = urlsplit(self.url)
        query = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] != "after"]
        url = parts._replace(query=urlencode([*query, ("after", str(self.after))])).geturl()
        try:
            websocket = await connect(
                url, max_size=None, open_timeout=min(self.silence, 10), ping_interval=None, close_timeout=1
            )
        except InvalidStatus as error:
            return error.response.status_code
        except (OSError, ValueError, WebSocketException):
            return None
        self._in_flight = set()
        self._outbox = asyncio.Queue()
        for message in self._unacknowledged.values():
            self._outbox.put_nowait(message)
        writing = asyncio.create_task(self._write(websocket))
        try:
            # Only the reader decides that the connection has ended: it has messages that arrived before the end.
            await self._read(websocket)
        finally:
            writing.cancel()
            # If the network accepts no data, close() waits for it.
            aborting = asyncio.get_running_loop().call_later(1, websocket.transport.abort)
            await asyncio.gather(websocket.close(), asyncio.wait([writing]))
            aborting.cancel()
        if not writing.cancelled():
            writing.result()
        return websocket.close_code

    async def _write(self, websocket: ClientConnection) -> None:
        while True:
            message = await self._outbox.get()
            while self._in_flight and self._suspects & self._unacknowledged.keys():
                self._answered.clear()
                await self._answered.wait()
            if message.key in self._unacknowledged:
                self._in_flight.add(message.key)
                try:
                    await websocket.send(message.data)
                except ConnectionClosed:
                    return

    async def _read(self, websocket: ClientConnection) -> None:
        """Receive until the connection ends."""
        while True:
            # It ends a receive, and a send into a network that accepts no data.
            timer = asyncio.get_running_loop().call_later(self.silence, websocket.transport.abort)
            try:
                message = self._parse(await websocket.recv())
                if message.get("type") == "ping":
                    await websocket.send('{"type": "pong"}')
            except ConnectionClosed:
                return
            finally:
                timer.cancel()
            await self._handle(message)

    @staticmethod
    def _parse(data: str | bytes) -> dict[str, Any]:
        with suppress(ValueError):
            message = json.loads(data)
            if isinstance(message, dict):
                return message
        logger.warning("A message from the server isn't a JSON object, and is left out: %.100r", data)
        return {}

    async def _handle(self, message: dict[str, Any]) -> None:
        match message:
            case {"type": "message", "id": int(message_id)} if message_id > self.after:
                self._attempt = 0
                await self._inbox.put(message)
                self.after = message_id
            case {"type": "gap", "missed": int(missed)}:
                await self._inbox.put(message)
                self.after += missed
            case {"type": "ack", "key": str(key), "id": int(message_id)}:
                self._attempt = 0
                self._settle(key, message_id)
            case {"type": "error", "key": str(key), "retry": True}:
                self._forget_sent(key)
                if outgoing := self._unacknowledged.get(key):
                    # Into the outbox of this connection. A later one has the message anyway.
                    asyncio.get_running_loop().call_later(self._next_delay(), self._outbox.put_nowait, outgoing)
            case {"type": "error", "key": str(key), "detail": detail}:
                self._settle(key, ValueError(detail))

    def _forget_sent(self, key: str) -> None:
        self._in_flight.discard(key)
        self._answered.set()

    def _settle(self, key: str, result: int | Exception) -> None:
        """Let the send() of a message return its id, or raise this error."""
        self._forget_sent(key)
        message = self._unacknowledged.pop(key, None)
        if message is None or message.acknowledged.done():
            return
        if isinstance(result, int):
            message.acknowledged.set_result(result)
        else:
            message.acknowledged.set_exception(result)

    def _find_too_big(self) -> None:
        if len(self._in_flight) == 1:
            self._settle(next(iter(self._in_flight)), ValueError("the message is too large for the server"))
        self._suspects = set(self._unacknowledged)
