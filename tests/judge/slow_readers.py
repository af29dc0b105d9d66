"""Members that read slowly or not at all, in step 07: texts that fill their connections, and their TCP sockets."""

import asyncio
import base64
import contextlib
import json
import os
import socket
import time
from collections.abc import AsyncIterator, Sequence

import psutil
from websockets import frames
from websockets.streams import StreamReader

from .clients import Client
from .handshakes import connected
from .model import Failure
from .subject import Subject

LARGE = "x" * 65_536
"""A text. The kernel buffers some dozens of these for a member that doesn't read."""
GIANT = "x" * (1_048_576 if hasattr(socket, "TCP_MAXSEG") else 8_388_608)
"""A text that's larger than the buffers of the kernel and asyncio for a tiny member that reads nothing. Later messages
must wait in the server."""
OPEN = (psutil.CONN_ESTABLISHED, psutil.CONN_CLOSE_WAIT)
"""States of a connection that this side hasn't closed (RFC 9293, section 3.3.2). Windows lists the others too."""
LOOK_EVERY = 0.1
"""Seconds between two looks at the TCP sockets of a process."""
LONGEST_WAIT = 0.1
"""Seconds for which the others may wait for a message."""


def in_one_piece(texts: list[str]) -> bytes:
    """Return messages as the bytes that a client sends, for one write."""
    data = (json.dumps({"type": "message", "text": text}).encode() for text in texts)
    return b"".join(frames.Frame(frames.Opcode.TEXT, each).serialize(mask=True) for each in data)


def holds(subject: Subject, *tabs: Client) -> bool:
    """Return whether the server's process has a TCP socket whose other end is one of these clients'."""
    return not _others(subject.server.pid).isdisjoint(_port(tab) for tab in tabs)


async def releases(subject: Subject, *tabs: Client) -> None:
    """Wait until the server's process has no TCP socket whose other end is one of these clients'.

    The clients of a check share the look at the sockets, because it takes processor time.
    """
    pid, start = subject.server.pid, time.monotonic()
    while True:
        looked, ports = _looks.get(pid, (0.0, set()))
        if looked >= start and ports.isdisjoint(map(_port, tabs)):
            return
        now = time.monotonic()
        if now - _begun.get(pid, 0.0) > LOOK_EVERY:
            _begun[pid] = now
            _looks[pid] = (now, await asyncio.to_thread(_others, pid))
        else:
            await asyncio.sleep(LOOK_EVERY / 4)


_begun: dict[int, float] = {}
"""By process, when the last look began."""
_looks: dict[int, tuple[float, set[int]]] = {}
"""By process, when the last finished look began, and what it found."""


def _others(pid: int) -> set[int]:
    """Return the ports of the other ends of a process's TCP connections."""
    connections = psutil.Process(pid).net_connections()
    return {found.raddr.port for found in connections if found.raddr and found.status in OPEN}


def _port(tab: Client) -> int:
    port: int = tab.connection.transport.get_extra_info("sockname")[1]
    return port


@contextlib.asynccontextmanager
async def stuck_members(subject: Subject, paths: Sequence[str]) -> AsyncIterator[list[socket.socket]]:
    """Connect members that read nothing but the response to their handshake, one after another.

    Args:
        subject: the running answer.
        paths: the paths of their connections.

    Raises:
        Failure: a handshake is refused, or not answered.
    """
    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as stack:
        sockets = []
        for path in paths:
            sock = stack.enter_context(await connected(subject.server.url, tiny=True))
            key = base64.b64encode(os.urandom(16)).decode()
            request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            request += f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
            await loop.sock_sendall(sock, request.encode())
            response = b""
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(subject.patience):
                    while not response.endswith(b"\r\n\r\n") and (byte := await loop.sock_recv(sock, 1)):
                        response += byte
            if b" 101 " not in response:
                got = response.decode("latin-1").partition("\r\n")[0] or "no response"
                raise Failure(sent=f"a handshake for {path}", got=got, expect="the connection accepted", likely="")
            sockets.append(sock)
        yield sockets


async def read_slowly(sock: socket.socket, rate: float, patience: float) -> list[frames.Frame]:
    """Read up to the close frame of a connection that has read nothing so far, and send a pong every 256 KiB.

    Args:
        sock: a TCP socket of `stuck_members`.
        rate: bytes per second.
        patience: seconds without data after which reading ends too.

    Returns:
        All complete frames.
    """
    loop = asyncio.get_running_loop()
    pong = frames.Frame(frames.Opcode.TEXT, b'{"type": "pong"}').serialize(mask=True)
    reader, begin, count = StreamReader(), loop.time(), 0
    found: list[frames.Frame] = []
    parsing = frames.Frame.parse(reader.read_exact, mask=False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    with contextlib.suppress(TimeoutError, OSError):
        while not found or found[-1].opcode != frames.Opcode.CLOSE:
            try:
                next(parsing)
            except StopIteration as end:
                found.append(end.value)
                parsing = frames.Frame.parse(reader.read_exact, mask=False)
                continue
            async with asyncio.timeout(patience):
                if not (data := await loop.sock_recv(sock, 16_384)):
                    break
            if count // 262_144 < (count + len(data)) // 262_144:
                await loop.sock_sendall(sock, pong)
            count += len(data)
            reader.feed_data(data)
            await asyncio.sleep(begin + count / rate - loop.time())
    return found
