"""A proxy between a server and Redis that loses, rejects or holds single commands at a chosen moment.

It runs in its own thread. Set its attributes from any thread.
"""

import asyncio
import contextlib
import re
from collections.abc import Iterator
from typing import Self

from anyio.from_thread import start_blocking_portal
from workshop.network import Listens

from .tasks import running, spawn, stop

UNKNOWN = b"NOSUCHCOMMAND"
"""A rejected command is replaced by this one, so Redis itself rejects it, also within a transaction."""
REJECTION = re.compile(rb"-ERR unknown command[^\r]*" + UNKNOWN + rb"[^\r]*\r\n")
READ_SIZE = 1 << 16


class Tap:
    """A TCP proxy in the event loop of its caller.

    Args:
        server: the server behind it.
    """

    def __init__(self, server: Listens) -> None:
        self.server = server
        self.port = 0
        self.lose = b""
        """A part of the command whose reply is lost: Redis runs it, and then its connection is reset. Only once."""
        self.sent = 0
        """The number of times that a part in `lose` was sent since it was set."""
        self.reject = b""
        """A part of the commands that Redis rejects with `error`, without running them."""
        self.rejected = 0
        """The number of times that commands were rejected."""
        self.error = b""
        """The error reply for them, such as `READONLY You can't write against a read only replica.`"""
        self.holds_subscriptions = False
        """Whether a command that subscribes waits until this is False again."""
        self.subscribing = 0
        """The number of commands that have subscribed, including held ones."""
        self.keeps_subscriptions = False
        """Whether subscriptions stay open, and deliver nothing, when Redis closes them."""
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._connections: list[_Connection] = []

    @property
    def url(self) -> str:
        """The URL of Redis through this proxy."""
        return f"redis://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        await stop(*self._serving)

    def cut(self) -> None:
        """Reset every open connection. New ones work. Another thread may call this."""
        self._loop.call_soon_threadsafe(self._reset)

    def _reset(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    def silence(self) -> None:
        """Deliver nothing more on the open subscriptions, and close none. New ones work."""
        for connection in self._connections:
            connection.is_silent = connection.subscribes

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # If start_server() made the task, Python 3.11 would print a traceback when it's canceled.
        task = spawn(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            with contextlib.suppress(OSError):
                above, to_redis = await asyncio.open_connection("127.0.0.1", self.server.port)
                try:
                    connection = _Connection(self, reader, writer, above, to_redis)
                    self._connections.append(connection)
                    async with running(connection.forward(), connection.back()) as both:
                        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    to_redis.transport.abort()
        finally:
            self._writers.discard(writer)
            writer.transport.abort()


@contextlib.contextmanager
def tap(server: Listens) -> Iterator[Tap]:
    """Start a proxy in its own thread."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(Tap(server)) as started:
        yield started


class _Connection:
    """A connection through a proxy."""

    def __init__(
        self,
        tap: Tap,
        client: asyncio.StreamReader,
        to_client: asyncio.StreamWriter,
        redis: asyncio.StreamReader,
        to_redis: asyncio.StreamWriter,
    ) -> None:
        self.tap = tap
        self.client, self.to_client = client, to_client
        self.redis, self.to_redis = redis, to_redis
        self.subscribes = False
        self.loses = False
        self.is_silent = False

    async def forward(self) -> None:
        """Forward commands to Redis."""
        tap = self.tap
        with contextlib.suppress(OSError):
            while data := await self.client.read(READ_SIZE):
                if re.search(rb"\$\d+\r\nP?SUBSCRIBE\r\n", data, re.IGNORECASE):
                    self.subscribes = True
                    tap.subscribing += 1
                    while tap.holds_subscriptions:
                        await asyncio.sleep(0.005)
                if tap.lose and tap.lose in data:
                    tap.sent += 1
                    self.loses = tap.sent == 1
                if tap.reject and tap.reject in data:
                    data = rejected(data, tap.reject)
                    tap.rejected += 1
                if self.is_silent:
                    continue
                self.to_redis.write(data)
                await self.to_redis.drain()

    async def back(self) -> None:
        """Forward replies to the client."""
        with contextlib.suppress(OSError):
            while (data := await self.redis.read(READ_SIZE)) and not self.loses:
                if self.is_silent:
                    continue
                self.to_client.write(REJECTION.sub(b"-" + self.tap.error + b"\r\n", data))
                await self.to_client.drain()
        while self.subscribes and self.tap.keeps_subscriptions and not self.to_client.is_closing():
            await asyncio.sleep(0.01)


def rejected(data: bytes, part: bytes) -> bytes:
    """Replace those of the commands, in the protocol of Redis, that contain this part."""
    commands, place = [], 0
    while place < len(data):
        begun = place
        header = re.compile(rb"\*(\d+)\r\n").match(data, place)
        if not header:
            break
        place = header.end()
        for _ in range(int(header[1])):
            size = re.compile(rb"\$(\d+)\r\n").match(data, place)
            if not size:
                return data  # Incomplete.
            place = size.end() + int(size[1]) + 2
        command = data[begun:place]
        commands.append(b"*1\r\n$%d\r\n%s\r\n" % (len(UNKNOWN), UNKNOWN) if part in command else command)
    return b"".join(commands) + data[place:]
