"""Step 09: a client that reconnects, with one object for each connection."""

import asyncio
import itertools
import json
import logging
import random
import secrets
from collections import deque
from contextlib import suppress
from typing import Any, Self
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.uri import parse_uri

logger = logging.getLogger(__name__)

MAX_UNACKNOWLEDGED = 100
MAX_INBOX = 2000


class Inbox:
    """A bounded buffer: one semaphore counts its items, the other one its free places."""

    def __init__(self) -> None:
        self.items: deque[dict[str, Any]] = deque()
        self.filled = asyncio.Semaphore(0)
        self.free = asyncio.Semaphore(MAX_INBOX)

    def append(self, item: dict[str, Any]) -> None:
        """Append an item, in a free place that the caller has acquired."""
        self.items.append(item)
        self.filled.release()

    def end(self) -> None:
        """Wake a reader after the last item."""
        self.filled.release()

    async def pop(self) -> dict[str, Any]:
        """Return the next item.

        Raises:
            StopAsyncIteration: the inbox has ended.
        """
        await self.filled.acquire()
        if not self.items:
            self.filled.release()
            raise StopAsyncIteration
        self.free.release()
        return self.items.popleft()


class Connection:
    """One connection, with all state that ends with it."""

    def __init__(self, client: "ResilientClient", websocket: ClientConnection) -> None:
        self.client = client
        self.websocket = websocket
        self.in_flight: set[str] = set()
        """Keys sent and not answered yet, or to be sent again after a delay."""
        self.wake_writer = asyncio.Event()

    async def run(self) -> None:
        """Use the connection until it ends, or nothing has arrived for too long."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.write())
                # Its exception cancels the other tasks.
                await self.read(tasks)
        except* (ConnectionClosed, TimeoutError):
            pass
        finally:
            # If the network accepts no data, a close would wait.
            if self.websocket.transport.get_write_buffer_size():
                self.websocket.transport.abort()
        # Until Python 3.13, the group loses a cancellation that arrives while it cancels its other tasks.
        if (task := asyncio.current_task()) and task.cancelling():
            raise asyncio.CancelledError

    async def read(self, tasks: asyncio.TaskGroup) -> None:
        clock = asyncio.get_running_loop().time
        async with asyncio.timeout(self.client.silence) as limit:
            while True:
                data = await self.websocket.recv()
                limit.reschedule(clock() + self.client.silence)
                try:
                    message = json.loads(data)
                except ValueError:
                    logger.warning("A message from the server isn't JSON, and is left out: %.100r", data)
                    continue
                match message:
                    case {"type": "message" | "gap"}:
                        # No limit: the client receives nothing while its inbox is full.
                        limit.reschedule(None)
                        await self.client.deliver(message)
                        limit.reschedule(clock() + self.client.silence)
                    case {"type": "ack", "key": str(key), "id": int(message_id)}:
                        self.client.attempt = 0
                        self.client.settle(key, message_id)
                        self.release(key)
                    case {"type": "error", "key": str(key), "retry": True}:
                        tasks.create_task(self.release_later(key, self.client.next_delay()))
                    case {"type": "error", "key": str(key), "detail": detail}:
                        self.client.settle(key, ValueError(detail))
                        self.release(key)
                    case {"type": "ping"}:
                        await self.websocket.send('{"type": "pong"}')

    def release(self, key: str) -> None:
        self.in_flight.discard(key)
        self.wake_writer.set()

    async def release_later(self, key: str, delay: float) -> None:
        await asyncio.sleep(delay)
        self.release(key)

    async def write(self) -> None:
        # Only the reader ends the connection: messages that arrived before its end may not be read yet.
        with suppress(ConnectionClosed):
            while True:
                if key := self.next_key():
                    self.in_flight.add(key)
                    await self.websocket.send(self.client.unacknowledged[key][0])
                else:
                    self.wake_writer.clear()
                    await self.wake_writer.wait()

    def next_key(self) -> str | None:
        """Return the key of the message to send now, or None."""
        unacknowledged = self.client.unacknowledged
        # One at a time while a suspect is left.
        if self.in_flight and self.client.suspects & unacknowledged.keys():
            return None
        # The window: later messages wait, in the order of send().
        window = itertools.islice(unacknowledged, MAX_UNACKNOWLEDGED)
        return next((key for key in window if key not in self.in_flight), None)


class ResilientClient:
    """A member of a room that reconnects: the state that survives each of its connections."""

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
        self.attempt = 0
        self.inbox = Inbox()
        # By key, in the order of send(): the message as JSON, and the future for its id.
        self.unacknowledged: dict[str, tuple[str, asyncio.Future[int]]] = {}
        # After a 1009, the keys to send one at a time.
        self.suspects: set[str] = set()
        self.connection: Connection | None = None
        self.task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(self.run())
        # A callback, because a task that's canceled before its first step runs no finally.
        self.task.add_done_callback(self.end)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self.task is not None
        self.task.cancel()
        await asyncio.wait([self.task])
        if not self.task.cancelled():
            self.task.result()

    async def send(self, text: str) -> int:
        text.encode()
        if self.task is None or self.task.done():
            raise ConnectionError("the client has ended, or wasn't started with async with")
        key = secrets.token_hex(16)
        acknowledged: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.unacknowledged[key] = json.dumps({"type": "message", "text": text, "key": key}), acknowledged
        self.wake_writer()
        try:
            return await acknowledged
        finally:
            # A canceled message leaves its place in the window to the next one.
            self.unacknowledged.pop(key, None)
            self.wake_writer()

    def wake_writer(self) -> None:
        if self.connection:
            self.connection.wake_writer.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> dict[str, Any]:
        return await self.inbox.pop()

    async def run(self) -> None:
        while not await self.connect_once():
            await asyncio.sleep(self.next_delay())

    def end(self, task: asyncio.Task[None]) -> None:
        for key in list(self.unacknowledged):
            self.settle(key, ConnectionError("the client has ended"))
        self.inbox.end()

    def next_delay(self) -> float:
        """Return the delay before the next attempt, in seconds, and count that attempt."""
        max_delay = min(self.cap, self.base * 2 ** min(self.attempt, 64))
        self.attempt += 1
        return max_delay - random.random() * max_delay / 2

    def resume_url(self) -> str:
        parts = urlsplit(self.url)
        query = parse_qs(parts.query, keep_blank_values=True) | {"after": [str(self.after)]}
        return urlunsplit(parts._replace(query=urlencode(query, doseq=True)))

    async def connect_once(self) -> bool:
        """Use one connection. Return whether the client must stop."""
        try:
            async with connect(
                self.resume_url(),
                max_size=None,
                open_timeout=min(self.silence, 10),
                ping_interval=None,
                close_timeout=1,
            ) as websocket:
                self.connection = Connection(self, websocket)
                await self.connection.run()
            match websocket.close_code:
                case 1008 | 4401:
                    self.stopped = websocket.close_code
                case 1009:
                    self.find_too_big(self.connection.in_flight)
        except InvalidStatus as error:
            if error.response.status_code in (401, 403):
                self.stopped = error.response.status_code
        except (OSError, ValueError, WebSocketException):
            pass  # Transient: no server, no answer to the handshake, or a redirect to an invalid URL.
        finally:
            self.connection = None
        return self.stopped is not None

    async def deliver(self, message: dict[str, Any]) -> None:
        """Wait for a free place in the inbox, and append a message or a gap to it, unless it's a duplicate."""
        match message:
            case {"type": "message", "id": int(message_id)} if message_id > self.after:
                self.attempt = 0
                after = message_id
            case {"type": "gap", "missed": int(missed)}:
                after = self.after + missed
            case _:
                return
        await self.inbox.free.acquire()
        self.inbox.append(message)
        self.after = after

    def settle(self, key: str, result: int | Exception) -> None:
        """Let the send() of a message return its id, or raise this error."""
        _, acknowledged = self.unacknowledged.pop(key, ("", None))
        if acknowledged and not acknowledged.done():
            if isinstance(result, int):
                acknowledged.set_result(result)
            else:
                acknowledged.set_exception(result)

    def find_too_big(self, in_flight: set[str]) -> None:
        if len(in_flight) == 1:
            self.settle(next(iter(in_flight)), ValueError("the message is too large for the server"))
        self.suspects = set(self.unacknowledged)
