"""Members that read slowly or not at all, in step 07: what fills their connections, and who holds their sockets."""

import asyncio
import base64
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator, Sequence

import psutil
from websockets import frames

from .clients import Client
from .handshakes import connected
from .model import Failure
from .subject import Subject

LARGE = "x" * 65_536
"""A text of which the kernel keeps some dozens for a member that does not read."""
GIANT = "x" * (1_048_576 if hasattr(socket, "TCP_MAXSEG") else 8_388_608)
"""A text that's more than the kernel and asyncio keep for a tiny member that reads nothing. What's sent after it has to
wait in the server."""
LONGEST_WAIT = 0.1
"""Seconds that the others may wait for a message."""


def in_one_piece(texts: list[str]) -> bytes:
    """Messages as the bytes that a client sends, for one write."""
    data = (json.dumps({"type": "message", "text": text}).encode() for text in texts)
    return b"".join(frames.Frame(frames.Opcode.TEXT, each).serialize(mask=True) for each in data)


def holds(subject: Subject, tab: Client) -> bool:
    """Whether the server's process has a socket whose other end is this client's."""
    port = tab.connection.local_address[1]
    found = psutil.Process(subject.server.pid).net_connections()
    return any(one.raddr and one.raddr.port == port for one in found)


@contextlib.asynccontextmanager
async def stuck_members(subject: Subject, paths: Sequence[str]) -> AsyncIterator[None]:
    """Connect members that read nothing but the response to their handshake, one after another.

    Args:
        subject: the running answer.
        paths: of their connections.

    Raises:
        Failure: a handshake was refused, or not answered.
    """
    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as stack:
        for path in paths:
            sock = stack.enter_context(await connected(subject.server.url, tiny=True))
            key = base64.b64encode(os.urandom(16)).decode()
            request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            request += f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
            await loop.sock_sendall(sock, request.encode())
            try:
                async with asyncio.timeout(subject.patience):
                    response = (await loop.sock_recv(sock, 64)).decode("latin-1").partition("\r\n")[0]
            except TimeoutError:
                response = "no response"
            if " 101 " not in response:
                raise Failure(sent=f"a handshake for {path}", got=response, expect="the connection accepted", likely="")
        yield
