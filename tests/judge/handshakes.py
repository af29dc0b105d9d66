"""Open connections, or find out why a handshake is refused."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus

from .clients import Client
from .conversation import current
from .model import Failure

HANDSHAKES = {
    403: (
        "no route takes this path (look at the prefix and for a slash too many), or a parameter is wrong, "
        "or websocket has no annotation WebSocket, or the route is no @app.websocket, "
        "or the server closed before it accepted"
    ),
    404: "uvicorn has no WebSocket library: install uvicorn[standard]",
    500: "the endpoint raised or returned before await websocket.accept()",
    401: "a security dependency or HTTPException(401) refused the handshake",
}
LEAK = "Your code counts or lists connections, and doesn't remove each one that has ended. Do that in finally."
"""The likely cause if the server refuses a handshake that it accepted before."""
LIMIT = "Your code limits their number. Accept each connection: Make has no limit."
FEW = 5
"""Number of open connections from which a refusal is explained by a limit."""
SHARED = {"Cookie": "session=judge", "X-Forwarded-For": "203.0.113.7"}
"""Headers that all connections share, like two browser tabs behind a proxy."""


async def handshake(
    url: str,
    patience: float,
    *,
    small_buffers: bool = False,
    tiny: bool = False,
    headers: dict[str, str] | None = None,
    sock: socket.socket | None = None,
    asked: asyncio.Event | None = None,
) -> ClientConnection | int:
    """Open a connection, or return the HTTP status of the refusal.

    Args:
        url: the WebSocket URL.
        patience: seconds to wait for the response.
        small_buffers: whether the kernel buffers as little as it can for this client. When the client stops
            reading, the server's sends soon wait.
        tiny: whether the server's kernel also buffers little for it: about 50 KB instead of 2.8 MB. Linux
            computes a send buffer from the maximum segment size, which is then 536 bytes. Where a client can't set
            that size, as on Windows, this is the same as small_buffers.
        headers: additional HTTP headers.
        sock: a connected TCP socket; by default, a new one.
        asked: an event to set when the request has been written.

    Raises:
        TimeoutError: the server doesn't respond in time.
        OSError: the server has ended.
        websockets.InvalidHandshake: the response isn't valid HTTP.
    """
    if small_buffers or tiny:
        sock = await connected(url, small_buffers=small_buffers, tiny=tiny)
    try:
        return await connect(
            url,
            sock=sock,
            additional_headers=SHARED | (headers or {}),
            logger=_logger(asked) if asked else None,
            # No compression: compressed frames are too small to fill a buffer.
            compression=None,
            open_timeout=patience,
            close_timeout=min(patience, 0.5),
            ping_interval=None,
            max_size=None,
            max_queue=None,
            proxy=None,
        )
    except InvalidStatus as error:
        return error.response.status_code


async def connected(url: str, *, small_buffers: bool = False, tiny: bool = False) -> socket.socket:
    """Return a TCP socket that's connected to the server of this URL, and has sent no data; see `handshake`."""
    host, port = url.split("/")[2].split(":")
    sock = socket.socket()
    if small_buffers or tiny:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    if tiny and hasattr(socket, "TCP_MAXSEG"):
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, (host, int(port)))
    return sock


def _logger(asked: asyncio.Event) -> logging.Logger:
    """Return a logger for a connection that sets this event when the request has been written."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if str(record.msg).startswith("> GET"):
                asked.set()

    logger = logging.Logger("client", logging.DEBUG)
    logger.addHandler(Handler())
    return logger


Why = Callable[[str, int], Awaitable[str | None]]
"""A function that explains a refused handshake from its path and its HTTP status, or returns None."""


async def open_client(
    url: str,
    patience: float,
    *,
    who: str | None = None,
    why: Why | None = None,
    small_buffers: bool = False,
    tiny: bool = False,
    headers: dict[str, str] | None = None,
    sock: socket.socket | None = None,
    asked: asyncio.Event | None = None,
) -> Client:
    """Open a client whose handshake must be accepted; see `handshake`.

    Args:
        who: the client's name in a failure.
        why: a function that explains a refused handshake.

    Raises:
        Failure: the server refuses the handshake, or doesn't respond.
    """
    path = "/" + url.split("/", 3)[3]
    sent = f"a handshake for {path}"
    expect = "the connection accepted"
    try:
        connection = await handshake(
            url, patience, small_buffers=small_buffers, tiny=tiny, headers=headers, sock=sock, asked=asked
        )
    except TimeoutError:
        raise Failure(
            sent=sent,
            got=f"no answer within {patience:g} s",
            expect=expect,
            likely=(await why(path, 0) if why else None)
            or "Your endpoint waits for something before it accepts. Call await websocket.accept() first.",
            broken=True,
        ) from None
    except (OSError, InvalidHandshake, EOFError) as error:
        raise Failure(
            sent=sent, got=f"no connection: {error}", expect=expect, likely="The server has ended.", broken=True
        ) from None
    if isinstance(connection, int):
        before = [other for other in current().clients if other.path == path]
        still_open = sum(other.connection.close_code is None for other in before)
        cause = None
        if still_open >= FEW:
            cause = f"{still_open} connections with the same path are open. {LIMIT}"
        elif before:
            cause = f"The same handshake was accepted {len(before)} times before. {LEAK}"
        if why and not cause:
            cause = await why(path, connection)
        raise Failure(
            sent=sent,
            got=f"HTTP {connection}",
            expect=expect,
            likely=cause or HANDSHAKES.get(connection, "Look up the status in the handshake decoder of README.md."),
            broken=cause is None,
        )
    return Client(connection, patience, who, path)


@contextlib.asynccontextmanager
async def client(url: str, patience: float, **options: Any) -> AsyncIterator[Client]:
    """Open a client whose handshake must be accepted. At the end, it leaves unless it has left already.

    Args:
        url: the WebSocket URL.
        patience: seconds to wait for an answer.
        options: the options of `open_client`.

    Raises:
        Failure: the server refuses the handshake, or doesn't respond.
    """
    opened = await open_client(url, patience, **options)
    try:
        yield opened
    finally:
        await opened.end()
