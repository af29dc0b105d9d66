"""Clients for the checks: every wait has a deadline, and every failure says what was sent and what came."""

import asyncio
import contextlib
import json
import logging
import socket
import struct
import sys
from collections.abc import AsyncIterator
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

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

LONGEST_IGNORED = 200
"""Characters of a message that `Client.overhears` may match."""


def show(message: object) -> str:
    """A message as a reader should see it: quoted, and not longer than a line or two."""
    if isinstance(message, bytes):
        return f"a binary frame {_cut(repr(message))}"
    if isinstance(message, str):
        return f'the text "{_cut(message)}"' if message else "an empty text"
    return _cut(json.dumps(message, ensure_ascii=False))


def _cut(text: str) -> str:
    return text if len(text) <= 120 else f"{text[:100]}... ({len(text)} characters)"


class Client:
    """One connection to the answer.

    Args:
        connection: an open connection.
        patience: seconds to wait for an answer.
    """

    def __init__(self, connection: ClientConnection, patience: float) -> None:
        self.connection = connection
        self.patience = patience
        self.did = "a handshake"
        """What the last thing sent was, for the message of a failure."""
        self.after: str | None = None
        """What else had happened before."""
        self.overhears: dict[str, Any] | None = None
        """A message that may come at any time, such as a ping, and is no answer to anything."""

    async def send(self, message: str | bytes | dict[str, Any]) -> None:
        """Send a text, bytes, or an object as JSON. A connection that is closed is not an error here."""
        if isinstance(message, dict):
            message = json.dumps(message, ensure_ascii=False)
            self.did = _cut(message)
        else:
            self.did = show(message)
        with contextlib.suppress(ConnectionClosed):
            async with asyncio.timeout(self.patience):
                await self.connection.send(message)

    async def next(self, *, expect: str, likely: str) -> str | bytes:
        """The next frame.

        Raises:
            Failure: there is none within the patience, or the connection ended.
        """
        try:
            async with asyncio.timeout(self.patience):
                while True:
                    frame = await self.connection.recv()
                    # Don't parse large messages twice: no message that's ignored is that long.
                    if self.overhears is None or len(frame) > LONGEST_IGNORED or parsed(frame) != self.overhears:
                        return frame
        except TimeoutError:
            got = f"no answer within {self.patience:g} s"
        except ConnectionClosed:
            got = f"the connection closed, {closing(self.connection)}"
        closed = self.connection.close_code not in (None, 1006)
        raise Failure(
            sent=self.did, after=self.after, got=got, expect=expect, likely=likely, broken=True, closed=closed
        )

    async def next_object(self, *, expect: str, likely: str) -> Any:
        """The next frame as JSON, or as it is if it is none.

        Raises:
            Failure: there is none within the patience, or the connection ended.
        """
        frame = await self.next(expect=expect, likely=likely)
        return parsed(frame) if isinstance(frame, str) else frame

    async def gets(self, expected: str | dict[str, Any], *, likely: str) -> None:
        """The next frame is this text, or JSON equal to this object.

        Raises:
            Failure: it is not.
        """
        wanted = show(expected)
        frame = await self.next(expect=wanted, likely=likely)
        if isinstance(expected, str):
            if frame == expected:
                return
        elif isinstance(frame, str) and same(parsed(frame), expected):
            return
        raise Failure(sent=self.did, after=self.after, got=show(frame), expect=wanted, likely=likely)

    async def gets_error(self, *, likely: str) -> None:
        """The next frame is `{"type": "error", "detail": a text that is not empty}`.

        Raises:
            Failure: it is not.
        """
        wanted = '{"type": "error", "detail": "..."} and the connection still open'
        frame = await self.next(expect=wanted, likely=likely)
        value = parsed(frame) if isinstance(frame, str) else None
        detail = value.get("detail") if isinstance(value, dict) else None
        if isinstance(value, dict) and value.get("type") == "error":
            likely = "an error has exactly two keys, type and detail, and detail is a text that is not empty"
        if value != {"type": "error", "detail": detail} or not isinstance(detail, str) or not detail:
            raise Failure(sent=self.did, after=self.after, got=show(frame), expect=wanted, likely=likely)

    async def is_closed(self, code: int, reason: str | None = None, *, likely: str) -> list[str | bytes]:
        """The server closes the connection with this code.

        Returns:
            The frames that came before.

        Raises:
            Failure: it does not, or with another code or reason.
        """
        wanted = f"the connection closed, code {code}" + (f", reason {reason}" if reason else "")
        frames: list[str | bytes] = []
        try:
            # One deadline for all: frames without end are no answer either.
            async with asyncio.timeout(2 * self.patience):
                while True:
                    frames.append(await self.connection.recv())
        except TimeoutError:
            got = f"{show(frames[-1])}, and then " if frames else ""
            got += f"the connection still open after {2 * self.patience:g} s"
        except ConnectionClosed:
            if self.connection.close_code == code and reason in (None, self.connection.close_reason):
                return frames
            got = f"the connection closed, {closing(self.connection)}"
            if self.connection.close_code != 1006:
                likely = "the connection is closed as it should be, but with another code or reason"
        closed = self.connection.close_code not in (None, 1006)
        raise Failure(
            sent=self.did, after=self.after, got=got, expect=wanted, likely=likely, broken=True, closed=closed
        )

    async def leave(self) -> None:
        """Say goodbye with a close frame, code 1000."""
        self.did = "a close frame"
        await self.connection.close()

    async def _gone(self) -> None:
        # Where the server does not read, the end of a connection may take for ever.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.patience):
                await self.connection.wait_closed()

    async def finish(self) -> None:
        """Vanish without a close frame: FIN, the way a killed program does."""
        self.did = "nothing more: the connection was cut, without a close frame (FIN)"
        self.connection.transport.close()
        await self._gone()

    async def reset(self) -> None:
        """Vanish without a word: RST, the way a crashed machine or a broken network does."""
        self.did = "nothing more: the connection broke, without a close frame (RST)"
        if self.connection.transport.is_closing():
            return  # the server was faster
        linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
        self.connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.transport.abort()
        await self._gone()

    async def is_gone(self) -> None:
        """Wait until the connection has ended, whoever ended it.

        Raises:
            TimeoutError: it has not within the patience.
        """
        async with asyncio.timeout(self.patience):
            await self.connection.wait_closed()

    async def end(self) -> None:
        """Close the connection, and wait for no answer that may not come."""
        # A client that reads nothing never sees the answer to its close frame.
        if self.connection.transport.is_reading():
            # close() waits until its frame is written: with a server that doesn't read, indefinitely.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(self.patience, 0.3)):
                    await self.connection.close()
        self.connection.transport.abort()

    def stop_reading(self) -> None:
        """Read nothing more from the socket, so that the buffers on the way to here fill up."""
        self.connection.transport.pause_reading()

    def read_again(self) -> None:
        """Read on after `stop_reading`."""
        self.connection.transport.resume_reading()


def closing(connection: ClientConnection) -> str:
    """How a connection ended: its close code, and the reason if there is one."""
    reason = f", reason {connection.close_reason}" if connection.close_reason else ""
    return f"code {connection.close_code}{reason}"


def parsed(text: str | bytes) -> Any:
    """The JSON value of a text, or what it is if it is none."""
    try:
        return json.loads(text) if isinstance(text, str) else text
    except ValueError:
        return text


def same(one: Any, other: Any) -> bool:
    """Equality as JSON has it: `true` is not 1, and the order of keys does not matter."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


async def handshake(
    url: str,
    patience: float,
    *,
    narrow: bool = False,
    headers: dict[str, str] | None = None,
    sock: socket.socket | None = None,
    asked: asyncio.Event | None = None,
) -> ClientConnection | int:
    """Open a connection, or learn with which HTTP status it was refused.

    Args:
        url: the address of the socket.
        patience: seconds to wait for the answer.
        narrow: whether the kernel keeps as little as it can for this client, so that a client
            which stops reading soon stops the server's sends.
        headers: further HTTP headers.
        sock: a socket that is connected already; by default a new one.
        asked: set when the request is on its way.

    Raises:
        TimeoutError: there was no answer in time.
        OSError: the server is gone.
        websockets.InvalidHandshake: the answer was no HTTP.
    """
    if narrow:
        sock = await connected(url, narrow=True)
    try:
        return await connect(
            url,
            sock=sock,
            additional_headers=headers,
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


async def connected(url: str, *, narrow: bool = False) -> socket.socket:
    """A socket that is connected to the server of this address, and has sent nothing yet; see `handshake`."""
    host, port = url.split("/")[2].split(":")
    sock = socket.socket()
    if narrow:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
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


async def open_client(
    url: str,
    patience: float,
    *,
    narrow: bool = False,
    headers: dict[str, str] | None = None,
    sock: socket.socket | None = None,
    asked: asyncio.Event | None = None,
) -> Client:
    """A client that must get in; see `handshake`.

    Raises:
        Failure: the handshake was refused or not answered.
    """
    path = "/" + url.split("/", 3)[3]
    sent = f"a handshake for {path}"
    expect = "the socket accepted"
    try:
        connection = await handshake(url, patience, narrow=narrow, headers=headers, sock=sock, asked=asked)
    except TimeoutError:
        raise Failure(
            sent=sent,
            got=f"no answer within {patience:g} s",
            expect=expect,
            likely="await websocket.accept() is missing, or something blocks the event loop, such as time.sleep",
            broken=True,
        ) from None
    except (OSError, InvalidHandshake, EOFError) as error:
        raise Failure(
            sent=sent, got=f"no connection: {error}", expect=expect, likely="the server has ended", broken=True
        ) from None
    if isinstance(connection, int):
        raise Failure(
            sent=sent,
            got=f"HTTP {connection}",
            expect=expect,
            likely=HANDSHAKES.get(connection, "the handshake decoder in README.md knows what the status means"),
            broken=True,
        )
    return Client(connection, patience)


@contextlib.asynccontextmanager
async def client(
    url: str, patience: float, *, narrow: bool = False, headers: dict[str, str] | None = None
) -> AsyncIterator[Client]:
    """A client that must get in; see `handshake`. At the end it leaves, if it has not yet.

    Raises:
        Failure: the handshake was refused or not answered.
    """
    opened = await open_client(url, patience, narrow=narrow, headers=headers)
    try:
        yield opened
    finally:
        await opened.end()
