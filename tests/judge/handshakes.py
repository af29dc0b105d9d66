"""Handshakes: open a connection, or find out why it is refused."""

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
"""Why a handshake is refused that was accepted before."""
LIMIT = "Your code limits their number. Accept each connection: Make has no limit."
FEW = 5
"""So many connections that are open explain a refusal by a limit."""
SHARED = {"Cookie": "session=judge", "X-Forwarded-For": "203.0.113.7"}
"""Headers that all connections share, as two tabs of a browser behind a proxy do."""


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
    """Open a connection, or learn with which HTTP status it was refused.

    Args:
        url: the address of the socket.
        patience: seconds to wait for the answer.
        small_buffers: whether the kernel keeps as little as it can for this client, so that a client
            which stops reading soon stops the server's sends.
        tiny: whether the server's kernel keeps little for it too: about 50 KB, instead of 2.8 MB. Linux
            computes a send buffer from the maximum segment size, which is then 536 bytes. Where a client can't ask
            for that, as on Windows, it's as with small_buffers.
        headers: further HTTP headers.
        sock: a socket that is connected already; by default a new one.
        asked: set when the request is on its way.

    Raises:
        TimeoutError: there was no answer in time.
        OSError: the server is gone.
        websockets.InvalidHandshake: the answer was no HTTP.
    """
    if small_buffers or tiny:
        sock = await connected(url, small_buffers=small_buffers, tiny=tiny)
    try:
        return await connect(
            url,
            sock=sock,
            additional_headers=SHARED | (headers or {}),
            logger=_logger(asked) if asked else None,
            # Compressed frames would be too small to fill a buffer.
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
    """A socket that is connected to the server of this address, and has sent nothing yet; see `handshake`."""
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
    """A logger for a connection, which sets this event when the request has been written."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if str(record.msg).startswith("> GET"):
                asked.set()

    logger = logging.Logger("client", logging.DEBUG)
    logger.addHandler(Handler())
    return logger


Why = Callable[[str, int], Awaitable[str | None]]
"""Explains a refused handshake from its path and its HTTP status, or returns None."""


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
    """Open a client that must get in; see `handshake`.

    Args:
        who: how a failure calls it.
        why: explains a refused handshake.

    Raises:
        Failure: the handshake was refused or not answered.
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
    """Open a client that must get in. At the end it leaves, if it has not yet.

    Args:
        url: the address of the socket.
        patience: seconds to wait for an answer.
        options: those of `open_client`.

    Raises:
        Failure: the handshake was refused or not answered.
    """
    opened = await open_client(url, patience, **options)
    try:
        yield opened
    finally:
        await opened.end()
