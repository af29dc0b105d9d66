"""A slow, cut or half-open network between clients and a server, for notebooks and checks."""

import asyncio
import contextlib
import functools
import random
import socket
import struct
import sys
from typing import Protocol, Self

from .redis_server import RedisServer

MAX_IN_FLIGHT = 1 << 20
"""Bytes that one connection has in flight in one direction. At this many, the network stops reading from the sender."""
MAX_CHUNK = 1 << 16
"""Bytes that travel together."""
LONGEST_CHUNK = 0.05
"""Seconds that the bytes that travel together take, if there's a limit for the bytes per second."""
RESET = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
"""The value of SO_LINGER with which closing a socket sends a reset."""
_jitter = random.Random()
"""A generator of its own, so that a notebook that has seeded Python's draws what it would draw without a network."""


class Listens(Protocol):
    """A server on a port of 127.0.0.1, such as a `Server`, a `RedisServer` or a further `Network`."""

    @property
    def port(self) -> int:
        """The TCP port. It's read for each connection, so the server may start later, or on another port."""


class Network:
    """A TCP proxy in the event loop of its caller: a network that clients reach a server through.

        async with Network(server, delay=0.1) as network:
            async with connect(network.ws("/ws/lobby?name=Ada")) as ada:
                network.cut()

    At the end of the `async with`, it resets every open connection. If the server doesn't listen, it resets a new
    connection after accepting it. You may change the settings while connections are open: the bytes that it
    receives from then on follow them, in order behind those in flight.

    A sender can be MAX_IN_FLIGHT and the buffers of the operating system ahead of its receiver. So a delay of 0.1 s
    allows 10 MiB/s.

    Args:
        server: what clients reach through it, or the TCP port of that on 127.0.0.1.
        delay: seconds that bytes travel, one way.
        jitter: at most this many seconds more, by chance. Bytes stay in order.
        bytes_per_second: the bandwidth of each connection, each way; None is without a limit.

    Raises:
        ExceptionGroup: at the end, if carrying bytes has failed for another reason than a lost connection.
    """

    def __init__(
        self,
        server: Listens | int,
        *,
        delay: float = 0.0,
        jitter: float = 0.0,
        bytes_per_second: float | None = None,
    ) -> None:
        self.server = server
        self.delay = delay
        self.jitter = jitter
        self.bytes_per_second = bytes_per_second
        self.port = 0
        """The TCP port on 127.0.0.1 that clients connect to, once the network is entered."""
        self.accepted = 0
        """Connections accepted so far."""
        self._next_accepted = asyncio.Event()
        self._accepts_half_open = False
        self._connections: set[_Connection] = set()

    @property
    def url(self) -> str:
        """The address of the server through this network, as the `url` of the server is written."""
        return f"{'redis' if isinstance(self.server, RedisServer) else 'http'}://127.0.0.1:{self.port}"

    def ws(self, path: str = "/ws") -> str:
        """The address of a WebSocket through this network, such as `ws://127.0.0.1:8000/ws`."""
        return f"ws://127.0.0.1:{self.port}/{path.removeprefix('/')}"

    def cut(self) -> None:
        """Reset every open connection, without a close frame. Drop what's in flight. New connections work."""
        for connection in self._connections:
            connection.task.cancel()

    def half_open(self, *, new: bool = False) -> None:
        """Deliver nothing more on the open connections, and don't close them: neither end notices.

        It's as behind a NAT that has forgotten the connections, or after a laptop's sleep. The network reads what
        either end sends, and drops it. A close or a reset by one end doesn't reach the other end.

        Args:
            new: whether it also accepts new connections that way, until `restore()`.
        """
        self._accepts_half_open = new
        for connection in self._connections:
            connection.half_open()

    def restore(self) -> None:
        """Let new connections reach the server again. The half-open ones stay half-open."""
        self._accepts_half_open = False

    async def wait_until_accepted(self, count: int) -> None:
        """Wait until this many connections have been accepted, of which the first ones may have ended."""
        while self.accepted < count:
            await self._next_accepted.wait()

    async def __aenter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        self._accepting = asyncio.create_task(self._accept())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._accepting.cancel()
        self.cut()
        tasks = [self._accepting, *(connection.task for connection in self._connections)]
        try:
            results = await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            self._listener.close()
        # A canceled task's result is a CancelledError, which isn't an Exception.
        if errors := [result for result in results if isinstance(result, Exception)]:
            raise ExceptionGroup("the network has failed", errors)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            client, _ = await loop.sock_accept(self._listener)
            connection = _Connection(self, client, is_half_open=self._accepts_half_open)
            self._connections.add(connection)
            connection.task.add_done_callback(functools.partial(self._end, connection))
            self.accepted += 1
            self._next_accepted.set()
            self._next_accepted = asyncio.Event()

    def _end(self, connection: "_Connection", task: asyncio.Task[None]) -> None:
        connection.close()
        # Keep a connection that has failed: its error is raised at the end.
        if task.cancelled() or not task.exception():
            self._connections.remove(connection)


class _Line:
    """What's in flight in one direction of a connection, in order."""

    def __init__(self) -> None:
        self.has_room = asyncio.Event()
        self.has_room.set()
        self._chunks: asyncio.Queue[tuple[float, bytes | None]] = asyncio.Queue()
        self._in_flight = 0

    def put(self, chunk: bytes | None, arrival: float) -> None:
        """Add bytes; empty for the end of the stream, None for a reset.

        Args:
            chunk: the bytes.
            arrival: when they arrive, in seconds of the event loop's clock, if those before them have.
        """
        self._chunks.put_nowait((arrival, chunk))
        self._count(len(chunk or b""))

    async def get(self) -> bytes | None:
        """Wait until the next bytes arrive. They're in flight until `delivered`."""
        arrival, chunk = await self._chunks.get()
        # Sleep even if it's too late already: a pause that lets other tasks run.
        await asyncio.sleep(arrival - asyncio.get_running_loop().time())
        return chunk

    def delivered(self, chunk: bytes) -> None:
        """Take these bytes out of the count."""
        self._count(-len(chunk))

    def _count(self, more: int) -> None:
        self._in_flight += more
        if self._in_flight < MAX_IN_FLIGHT:
            self.has_room.set()
        else:
            self.has_room.clear()


class _Connection:
    """A connection through a network: the client's socket, the server's, and a task that joins them.

    Sockets rather than asyncio's streams, because they read nothing before they're asked, and can be reset.
    """

    def __init__(self, network: Network, client: socket.socket, *, is_half_open: bool) -> None:
        self._network = network
        self._sockets = [client]
        self._is_half_open = is_half_open
        self._is_finished = False
        self._forwarding: asyncio.Task[None] | None = None
        self.task = asyncio.create_task(self._run())

    def half_open(self) -> None:
        """Deliver nothing more, and close nothing."""
        self._is_half_open = True
        if self._forwarding:
            self._forwarding.cancel()

    def close(self) -> None:
        """Close both sockets, with a reset unless both streams have come to their end."""
        for each in self._sockets:
            if not self._is_finished:
                # macOS refuses it for a socket that the other end has reset.
                with contextlib.suppress(OSError):
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            each.close()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            if not self._is_half_open:
                self._forwarding = tasks.create_task(self._forward())
                await asyncio.wait([self._forwarding])
            if self._is_half_open:
                for each in self._sockets:
                    tasks.create_task(_discard(each))
                # Keep the sockets open, until this task is canceled.
                await asyncio.get_running_loop().create_future()

    async def _forward(self) -> None:
        (client,) = self._sockets
        server = socket.socket()
        server.setblocking(False)
        self._sockets.append(server)
        port = self._network.server if isinstance(self._network.server, int) else self._network.server.port
        try:
            await asyncio.get_running_loop().sock_connect(server, ("127.0.0.1", port))
            async with asyncio.TaskGroup() as tasks:
                for source, target in ((client, server), (server, client)):
                    # Without it, small chunks would wait for acknowledgements, for 40 ms on Linux.
                    target.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    line = _Line()
                    tasks.create_task(self._receive(source, line))
                    tasks.create_task(self._deliver(line, target))
        except* OSError:
            pass  # One end is lost, and the other one is reset.
        else:
            self._is_finished = True

    async def _receive(self, source: socket.socket, line: _Line) -> None:
        """Put what a socket sends into a line, up to its end or its reset."""
        network, loop = self._network, asyncio.get_running_loop()
        chunk: bytes | None
        while True:
            await line.has_room.wait()
            rate = network.bytes_per_second
            size = MAX_CHUNK if rate is None else min(MAX_CHUNK, max(1, int(rate * LONGEST_CHUNK)))
            try:
                chunk = await loop.sock_recv(source, size)
            except OSError:
                chunk = None
            rate = network.bytes_per_second  # It may have changed meanwhile.
            duration = len(chunk) / rate if chunk and rate is not None else 0.0
            delay = network.delay + _jitter.uniform(0, network.jitter)
            line.put(chunk, loop.time() + duration + delay)
            if not chunk:
                return
            await asyncio.sleep(duration)

    async def _deliver(self, line: _Line, target: socket.socket) -> None:
        """Send what arrives from a line, up to the end of the stream.

        Raises:
            ConnectionResetError: the other end has reset the connection.
        """
        loop = asyncio.get_running_loop()
        while chunk := await line.get():
            # Ignore a reset by the target: the line from there delivers it, behind the last bytes.
            with contextlib.suppress(OSError):
                await loop.sock_sendall(target, chunk)
            line.delivered(chunk)
        if chunk is None:
            raise ConnectionResetError
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)


async def _discard(source: socket.socket) -> None:
    """Read what a socket sends, and drop it."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError):
        while await loop.sock_recv(source, MAX_CHUNK):
            await asyncio.sleep(0)
