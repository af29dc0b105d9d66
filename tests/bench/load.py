"""The load of the benchmark: members that count frames, as bare asyncio protocols, which aren't a bottleneck."""

import asyncio
import base64
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast


def masked(text: bytes) -> bytes:
    """Return a text frame of a client, masked with zeros, which leave the text unchanged: RFC 6455, section 5.2."""
    size = len(text)
    if size < 126:
        head = bytes((0x81, 0x80 | size))
    elif size < 65_536:
        head = bytes((0x81, 0x80 | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x81, 0x80 | 127)) + size.to_bytes(8, "big")
    return head + bytes(4) + text


class Member(asyncio.Protocol):
    """One connection, which sends no pongs, and reads only the headers of frames.

    Args:
        path: the path of the connection.
        deflate: whether to ask for permessage-deflate, as browsers do.
        hello: a frame to send when the handshake is done.
        on_frame: the function to call with the number of each received data frame.
    """

    def __init__(self, path: str, deflate: bool, hello: bytes, on_frame: Callable[[int], None]) -> None:
        self.path = path
        self.deflate = deflate
        self.hello = hello
        self.on_frame = on_frame
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended = False
        self.frames = 0
        self.transport: asyncio.Transport
        self._head = b""
        self._missing = 0
        self._counts = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the handshake."""
        self.transport = cast(asyncio.Transport, transport)
        extension = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n" if self.deflate else ""
        key = base64.b64encode(os.urandom(16)).decode()
        request = f"GET {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        request += f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{extension}\r\n"
        self.transport.write(request.encode())

    def data_received(self, data: bytes) -> None:
        """Read the response to the handshake, and then count frames."""
        if not self.ready.done():
            data = self._head + data
            head, found, rest = data.partition(b"\r\n\r\n")
            if not found:
                self._head = data
                return
            self._head = b""
            if not head.startswith(b"HTTP/1.1 101"):
                self.ready.set_exception(ConnectionError(head.decode("latin-1")))
                return
            if self.deflate and b"permessage-deflate" not in head:
                self.ready.set_exception(ConnectionError("the server does not compress"))
                return
            self.ready.set_result(None)
            if self.hello:
                self.transport.write(self.hello)
            data = rest
        self._count(data)

    def _count(self, data: bytes) -> None:
        place, size = 0, len(data)
        while place < size:
            if self._missing:
                step = min(self._missing, size - place)
                place += step
                self._missing -= step
                if self._missing:
                    return
            else:
                head = self._head + data[place : place + 10]
                if len(head) < 2 or len(head) < self._head_size(head):
                    self._head = head
                    return
                length = self._head_size(head)
                place += length - len(self._head)
                self._head = b""
                # In a control frame, the highest bit of the opcode is 1.
                self._counts = not head[0] & 0x08
                code = head[1] & 0x7F
                self._missing = code if code < 126 else int.from_bytes(head[2:length], "big")
                if self._missing:
                    continue
            if self._counts:
                self.frames += 1
                self.on_frame(self.frames)

    @staticmethod
    def _head_size(head: bytes) -> int:
        return {126: 4, 127: 10}.get(head[1] & 0x7F, 2)

    def connection_lost(self, error: Exception | None) -> None:
        """Note that the connection has ended."""
        self.ended = True
        if not self.ready.done():
            self.ready.set_exception(ConnectionError("the connection ended in the handshake"))


@dataclass
class Run:
    """The measurements of one run of a room."""

    deliveries: int
    seconds: float
    latencies: list[float] = field(default_factory=list)
    """Seconds from sending a message to its arrival at the last member."""


class Room:
    """Members of one room, and messages that the first of them sends.

    Args:
        port: the TCP port of the server.
        path: the path of the connections.
        message: the content of the text message to send.
        hello: a frame that each member sends first.
        deflate: whether to ask for compression.
    """

    def __init__(self, port: int, path: str, message: bytes, hello: bytes = b"", deflate: bool = False) -> None:
        self.port = port
        self.path = path
        self.frame = masked(message)
        self.hello = hello
        self.deflate = deflate
        self.members: list[Member] = []
        self._arrived: dict[int, int] = {}
        self._sent: dict[int, float] = {}
        self._base: dict[int, int] = {}
        self._run: Run | None = None
        self._left = 0
        self._number = 0
        self._over: asyncio.Future[Run] | None = None

    async def join(self, number: int, port: int = 0) -> None:
        """Connect further members, and wait until no more frames arrive.

        Args:
            number: the number of members.
            port: the TCP port of another server of the same room; 0 for the room's own.
        """
        for start in range(0, number, 50):
            some = [await self._connect(port or self.port) for _ in range(min(50, number - start))]
            await asyncio.gather(*(member.ready for member in some))
            self.members += some
        await self.quiet()

    async def _connect(self, port: int) -> Member:
        def make() -> Member:
            # Use a separate variable: a frame may arrive with the response to the handshake.
            made = Member(self.path, self.deflate, self.hello, lambda number: self._note(made, number))
            return made

        _, member = await asyncio.get_running_loop().create_connection(make, "127.0.0.1", port)
        return member

    async def quiet(self) -> None:
        """Wait until no frame has arrived for 0.1 s."""
        before = -1
        while before != (now := sum(member.frames for member in self.members)):
            before = now
            await asyncio.sleep(0.1)

    def _note(self, member: Member, number: int) -> None:
        if self._run is None:
            return
        number -= self._base[id(member)]
        arrived = self._arrived.get(number, 0) + 1
        self._arrived[number] = arrived
        if arrived == len(self._base):
            del self._arrived[number]
            now = time.perf_counter()
            self._run.latencies.append(now - self._sent.pop(number))
            if self._left:
                self._send()
            elif not self._sent and self._over is not None and not self._over.done():
                self._over.set_result(self._run)

    def _send(self) -> None:
        self._left -= 1
        self._number += 1
        self._sent[self._number] = time.perf_counter()
        self.members[0].transport.write(self.frame)

    async def talk(self, messages: int, in_flight: int, seconds: float = 60) -> Run:
        """Send messages, with a limit of messages in flight, until every member has received them.

        Args:
            messages: the number of messages.
            in_flight: the number of messages that may be on their way at the same time.
            seconds: the longest wait, in seconds.

        Raises:
            TimeoutError: some messages haven't arrived by then.
        """
        self._base = {id(member): member.frames for member in self.members}
        self._arrived.clear()
        self._sent.clear()
        self._number = 0
        self._left = messages
        self._over = asyncio.get_running_loop().create_future()
        self._run = Run(messages * len(self.members), 0.0)
        start = time.perf_counter()
        for _ in range(min(in_flight, messages)):
            self._send()
        try:
            async with asyncio.timeout(seconds):
                run = await self._over
        finally:
            self._run = None
        run.seconds = time.perf_counter() - start
        return run

    def leave(self) -> None:
        """Abort all connections."""
        for member in self.members:
            member.transport.abort()
        self.members.clear()
