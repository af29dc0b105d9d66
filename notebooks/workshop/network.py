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
"""The limit for bytes in flight in one direction of a connection. At the limit, the network stops reading."""
MAX_CHUNK = 1 << 16
"""The limit for the bytes of a chunk, which travel together."""
LONGEST_CHUNK = 0.05
"""The longest transfer time of a chunk in seconds, if there's a limit for the bytes per second."""
RESET = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
"""The value of SO_LINGER with which closing a TCP socket sends a reset."""
_jitter = random.Random()
"""A separate generator, so a network doesn't change the random numbers of a notebook that has seeded Python's."""


class Listens(Protocol):
    """A server on a port of 127.0.0.1, such as a `Server`, a `RedisServer` or another `Network`."""

    @property
    def port(self) -> int:
        """The TCP port. The network reads it for each connection, so the server may start later, or on another port."""


class Network:
    """A TCP proxy in the event loop of its caller, which simulates a network between clients and a server.

        async with Network(server, delay=0.1) as network:
            async with connect(network.ws("/ws/lobby?name=Ada")) as ada:
                network.cut()

    At the end of the `async with`, the network resets every open connection. If the server doesn't listen, the network
    accepts a new connection and resets it. You can change the settings while connections are open: they apply to the
    bytes that the network receives from then on, in order after the bytes in flight.

    A sender can be ahead of its receiver by MAX_IN_FLIGHT plus the buffers of the operating system. So a delay of
    0.1 s allows 10 MiB/s.

    Args:
        server: the server that clients reach through the network, or its TCP port on 127.0.0.1.
        delay: the one-way delay, in seconds.
        jitter: the limit for an additional random delay, in seconds. Bytes stay in order.
        bytes_per_second: the bandwidth of each connection in each direction; None for no limit.

    Raises:
        ExceptionGroup: at the end, if forwarding has failed for another reason than a lost connection.
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
        """The number of connections accepted so far."""
        self._next_accepted = asyncio.Event()
        self._accepts_half_open = False
        self._connections: set[_Connection] = set()

    @property
    def url(self) -> str:
        """The URL of the server through this network, in the form of the server's `url`."""
        return f"{'redis' if isinstance(self.server, RedisServer) else 'http'}://127.0.0.1:{self.port}"

    def ws(self, path: str = "/ws") -> str:
        """Return the URL of a WebSocket endpoint through this network, such as `ws://127.0.0.1:8000/ws`."""
        return f"ws://127.0.0.1:{self.port}/{path.removeprefix('/')}"

    def cut(self) -> None:
        """Reset every open connection, without a close frame, and drop the bytes in flight. New connections work."""
        for connection in self._connections:
            connection.task.cancel()

    def half_open(self, *, new: bool = False) -> None:
        """Stop delivering on the open connections without closing them, so neither end detects it.

        This happens behind a NAT that has dropped its entries for the connections, or after a laptop's sleep. The
        network reads and drops the bytes from both ends. A close or a reset by one end doesn't reach the other end.

        Args:
            new: whether new connections are half-open too, until `restore()`.
        """
        self._accepts_half_open = new
        for connection in self._connections:
            connection.half_open()

    def restore(self) -> None:
        """Let new connections reach the server again. Half-open connections stay half-open."""
        self._accepts_half_open = False

    async def wait_until_accepted(self, count: int) -> None:
        """Wait until this number of connections has been accepted, including those that have ended."""
        while self.accepted < count:
            await self._next_accepted.wait()

    async def __aenter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        self._is_ending = False
        self._accepting = asyncio.create_task(self._accept())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_ending = True
        self.cut()
        # Wake the accepting task with a connection. A cancel could meet a client that connects at the same time, and
        # then asyncio logs an InvalidStateError.
        with socket.socket() as last:
            last.setblocking(False)
            last.connect_ex(self._listener.getsockname())
            await asyncio.wait([self._accepting])
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
            if self._is_ending:
                client.close()
                return
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
    """The chunks in flight in one direction of a connection, in order."""

    def __init__(self) -> None:
        self.has_room = asyncio.Event()
        self.has_room.set()
        self._chunks: asyncio.Queue[tuple[float, bytes | None]] = asyncio.Queue()
        self._in_flight = 0

    def put(self, chunk: bytes | None, arrival: float) -> None:
        """Add a chunk.

        Args:
            chunk: the bytes; empty for the end of the stream, None for a reset.
            arrival: the earliest arrival time in seconds of the event loop's clock. Chunks stay in order.
        """
        self._chunks.put_nowait((arrival, chunk))
        self._count(len(chunk or b""))

    async def get(self) -> bytes | None:
        """Wait until the next chunk arrives, and return it. It's in flight until `delivered`."""
        arrival, chunk = await self._chunks.get()
        # Sleep even if the time has passed, to yield control to the event loop.
        await asyncio.sleep(arrival - asyncio.get_running_loop().time())
        return chunk

    def delivered(self, chunk: bytes) -> None:
        """Subtract a delivered chunk from the bytes in flight."""
        self._count(-len(chunk))

    def _count(self, more: int) -> None:
        self._in_flight += more
        if self._in_flight < MAX_IN_FLIGHT:
            self.has_room.set()
        else:
            self.has_room.clear()


class _Connection:
    """A connection through a network: the client's TCP socket, the server's, and a task that joins them.

    It uses TCP sockets instead of asyncio's streams, because they don't read ahead, and can send a reset.
    """

    def __init__(self, network: Network, client: socket.socket, *, is_half_open: bool) -> None:
        self._network = network
        self._sockets = [client]
        self._is_half_open = is_half_open
        self._is_finished = False
        self._forwarding: asyncio.Task[None] | None = None
        self.task = asyncio.create_task(self._run())

    def half_open(self) -> None:
        """Stop delivering, without closing a socket."""
        self._is_half_open = True
        if self._forwarding:
            self._forwarding.cancel()

    def close(self) -> None:
        """Close both sockets, with a reset unless both streams have ended."""
        for each in self._sockets:
            if not self._is_finished:
                # Ignore errors: macOS refuses this for a socket that the other end has reset.
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
                # Keep the sockets open until this task is canceled.
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
                    # Disable Nagle's algorithm: small chunks would wait for acknowledgements, for 40 ms on Linux.
                    target.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    line = _Line()
                    tasks.create_task(self._receive(source, line))
                    tasks.create_task(self._deliver(line, target))
        except* OSError:
            pass  # One end is lost, so `close` resets the other one.
        else:
            self._is_finished = True

    async def _receive(self, source: socket.socket, line: _Line) -> None:
        """Put the received bytes of a socket into a line, up to the end of the stream or a reset."""
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
            rate = network.bytes_per_second  # Read it again: it can change during the wait.
            duration = len(chunk) / rate if chunk and rate is not None else 0.0
            delay = network.delay + _jitter.uniform(0, network.jitter)
            line.put(chunk, loop.time() + duration + delay)
            if not chunk:
                return
            await asyncio.sleep(duration)

    async def _deliver(self, line: _Line, target: socket.socket) -> None:
        """Send the arriving chunks of a line, up to the end of the stream.

        Raises:
            ConnectionResetError: the other end has reset the connection.
        """
        loop = asyncio.get_running_loop()
        while chunk := await line.get():
            # Ignore a reset by the target: the line in the other direction delivers it, after the last bytes.
            with contextlib.suppress(OSError):
                await loop.sock_sendall(target, chunk)
            line.delivered(chunk)
        if chunk is None:
            raise ConnectionResetError
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)


async def _discard(source: socket.socket) -> None:
    """Read and drop the bytes from a socket."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError):
        while await loop.sock_recv(source, MAX_CHUNK):
            await asyncio.sleep(0)
