"""A fake server for an answer that is a client, and the process in which that client runs."""

import asyncio
import contextlib
import json
import os
import re
import threading
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from workshop.process import end, start_module

from .members import PING
from .messages import show
from .model import Failure
from .subject import Subject
from .tasks import running

DRIVER = Path(__file__).with_name("driver")


class ConnectionAttempt:
    """One attempt of the client to connect."""

    def __init__(self, connection: ServerConnection, request: Request) -> None:
        self.connection = connection
        self.query = parse_qs(urlsplit(request.path).query, keep_blank_values=True)
        self.at = asyncio.get_running_loop().time()
        self._answer: asyncio.Future[HTTPStatus | None] = asyncio.get_running_loop().create_future()
        self._open = asyncio.Event()
        self._over = asyncio.Event()

    async def decide(self) -> Response | None:
        """Wait for the decision about the handshake, and return the response that rejects it, or None."""
        status = await self._answer
        return self.connection.respond(status, "") if status else None

    async def stay(self) -> None:
        """Keep the connection open, as the handler of the library."""
        self._open.set()
        await self._over.wait()

    def refuse(self, status: int) -> None:
        """Answer the handshake with this status."""
        self._answer.set_result(HTTPStatus(status))

    def abort_handshake(self) -> None:
        """End the connection in the middle of the handshake."""
        self.connection.transport.abort()
        self._answer.set_result(HTTPStatus.SERVICE_UNAVAILABLE)

    async def accept(self) -> None:
        """Accept the handshake. The connection may be lost before it's open."""
        self._answer.set_result(None)
        async with running(self._open.wait(), self.connection.wait_closed()) as first:
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)

    async def send(self, *messages: dict[str, Any]) -> None:
        """Send messages as JSON."""
        for message in messages:
            await self.connection.send(json.dumps(message))

    async def close(self, code: int) -> None:
        """Close the connection with this code."""
        await self.connection.close(code)
        self._over.set()

    def drop(self) -> None:
        """End the connection without a close frame."""
        self.connection.transport.abort()
        self._over.set()


class FakeServer:
    """A server that the judge controls, and the answer's client that connects to it.

    Args:
        patience: seconds to wait for the client.
    """

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self.port = 0
        self.did = "it was started"
        """The last event, for the message of a failure."""
        self._attempts: dict[int, asyncio.Queue[ConnectionAttempt]] = {}
        self._over: dict[int, asyncio.Future[int | None]] = {}
        self._events: dict[int, asyncio.Queue[dict[str, Any]]] = {}
        self._control: asyncio.Future[ServerConnection | None] = asyncio.get_running_loop().create_future()
        self._of: dict[ServerConnection, ConnectionAttempt] = {}

    async def decide(self, connection: ServerConnection, request: Request) -> Response | None:
        """Decide about a handshake, as the library's process_request."""
        if request.path == "/control":
            return None
        self._of[connection] = ConnectionAttempt(connection, request)
        found = re.match(r"/ws/lobby-(\d+)\?", request.path)
        self.attempts(int(found[1]) if found else 0).put_nowait(self._of[connection])
        return await self._of[connection].decide()

    async def receive(self, connection: ServerConnection) -> None:
        """Handle a connection: of a client, or of the driver."""
        if connection in self._of:
            return await self._of[connection].stay()
        self.started(connection)
        with contextlib.suppress(ConnectionClosed):
            async for frame in connection:
                event = json.loads(frame)
                self.events(event["client"]).put_nowait(event)
                if event["event"] == "over":
                    self.over(event["client"]).set_result(event["stopped"])

    def started(self, control: ServerConnection | None) -> None:
        """Note that the driver is connected, or with None that it has ended."""
        if not self._control.done():
            self._control.set_result(control)

    def events(self, client: int) -> asyncio.Queue[dict[str, Any]]:
        """Return the events of a client, as the driver reports them."""
        return self._events.setdefault(client, asyncio.Queue())

    def attempts(self, client: int) -> "asyncio.Queue[ConnectionAttempt]":
        """Return the attempts of a client to connect."""
        return self._attempts.setdefault(client, asyncio.Queue())

    def over(self, client: int) -> "asyncio.Future[int | None]":
        """Return a future for the end of a client's iteration, with the code that stopped it."""
        return self._over.setdefault(client, asyncio.get_running_loop().create_future())

    async def do(self, action: str, client: int = 0, **more: Any) -> None:
        """Send a command to the driver."""
        # Allow more time: a slow start of the process isn't a bug in the client.
        expect = "exercise/client.py can be imported"
        control = await self._within(asyncio.shield(self._control), expect=expect, likely=IMPORT, seconds=STARTS_WITHIN)
        if control is None:
            raise Failure(after=self.did, got="its process ended", expect=expect, likely=IMPORT, broken=True)
        try:
            await control.send(json.dumps({"do": action, "client": client, **more}))
        except ConnectionClosed:
            got = "the process of the client ended"
            raise Failure(after=self.did, got=got, expect="it still runs", likely=EXITS, broken=True) from None

    async def handled(self) -> None:
        """Wait until the driver has started all earlier commands."""
        await self.do("handled", DRIVER_ITSELF)
        await self.next(DRIVER_ITSELF, expect="an answer of the client's process", likely=BLOCKS)

    async def begin(
        self, client: int = 0, *, url: str = "", host: str = "127.0.0.1", port: int = 0, **more: Any
    ) -> None:
        """Start a client, by default one that connects to this server.

        Args:
            client: the client's number.
            url: the URL that it connects to.
            host: without a url, the name of the judge's host.
            port: without a url, the port of a network in front of the judge; 0 for the judge's own.
            more: arguments of `ResilientClient`, and `read=False` for a client without a reader.
        """
        url = url or f"ws://{host}:{port or self.port}/ws/lobby-{client}?name=Ada"
        await self.do("begin", client, url=url, **more)

    async def next_attempt(self, client: int = 0, *, likely: str, seconds: float = 0) -> ConnectionAttempt:
        """Return the next attempt of a client to connect.

        Raises:
            Failure: there is none, or the client's iteration ends first.
        """
        over = self.over(client)
        async with running(self.attempts(client).get()) as (coming,):
            first = asyncio.wait([coming, over], return_when=asyncio.FIRST_COMPLETED)
            await self._within(first, expect="the client connects", likely=likely, seconds=seconds)
            if coming.done():
                return coming.result()
        got = f"the iteration ended, and stopped is {over.result()}"
        raise Failure(after=self.did, got=got, expect="the client connects", likely=likely, broken=True)

    async def next(self, client: int = 0, *, expect: str, likely: str, seconds: float = 0) -> dict[str, Any]:
        """Return the next event of a client.

        Raises:
            Failure: there is none.
        """
        return await self._within(self.events(client).get(), expect=expect, likely=likely, seconds=seconds)

    async def does(self, event: str, client: int = 0, *, likely: str, seconds: float = 0, **more: Any) -> None:
        """Check that the next event of a client is this one.

        Raises:
            Failure: it's another one, or none.
        """
        expect = f"{event} {show(more)}"
        got = await self.next(client, expect=expect, likely=likely, seconds=seconds)
        if got != {"event": event, "client": client, **more}:
            del got["client"]
            raise Failure(after=self.did, got=f"{got.pop('event')} {show(got)}", expect=expect, likely=likely)

    async def next_message(self, attempt: ConnectionAttempt, *, likely: str) -> Any:
        """Return the next message of the client, as an object.

        Raises:
            Failure: none arrives, or it isn't JSON.
        """
        try:
            return await self.receive_from(attempt, likely=likely)
        except (ValueError, ConnectionClosed) as error:
            raise Failure(after=self.did, got=str(error), expect="a JSON object", likely=likely) from None

    async def receive_from(self, attempt: ConnectionAttempt, *, likely: str) -> Any:
        """Return the next message of the client, as an object.

        Raises:
            Failure: there is none.
            ConnectionClosed: the connection is lost.
            ValueError: it isn't JSON.
        """
        receiving = attempt.connection.recv()
        return json.loads(await self._within(receiving, expect="a frame of the client", likely=likely))

    async def messages_before_pong(self, attempt: ConnectionAttempt, *, likely: str) -> list[Any]:
        """Send a ping, and return what the client sends before the pong.

        Raises:
            Failure: the pong doesn't arrive.
        """
        await attempt.send(PING)
        before = []
        while (got := await self.next_message(attempt, likely=likely)) != PONG:
            before.append(got)
        return before

    async def messages_so_far(self, attempt: ConnectionAttempt, *, likely: str) -> list[Any]:
        """Return what the client sends until it sends nothing but pongs.

        Raises:
            Failure: it doesn't answer a ping.
        """
        messages, quiet = [], 0
        while quiet < ROUNDS:
            before = await self.messages_before_pong(attempt, likely=likely)
            messages += before
            quiet = 0 if before else quiet + 1
        return messages

    async def _within(self, coming: Any, *, expect: str, likely: str, seconds: float = 0) -> Any:
        seconds = seconds or self.patience
        try:
            async with asyncio.timeout(seconds):
                return await coming
        except TimeoutError:
            got = f"nothing within {seconds:g} s"
            raise Failure(after=self.did, got=got, expect=expect, likely=likely, broken=True) from None


DRIVER_ITSELF = -1
"""Used instead of a client's number."""
ROUNDS = 5
"""Consecutive pings that a client answers without sending anything else, if it has nothing left to send."""
PONG = {"type": "pong"}
BLOCKS = "Your code blocks the event loop. Use await asyncio.sleep(), and no loop that runs without waiting."
STARTS_WITHIN = 15.0
"""Seconds for a driver's start. If it neither connects nor ends in this time, it hangs."""
EXITS = "Your code calls sys.exit() or exit(), which ends the process with all its clients. Remove the call."
IMPORT = "exercise/client.py cannot be imported, or has no ResilientClient"


@contextlib.asynccontextmanager
async def fake_server(subject: Subject, *, patience: float = 0) -> AsyncIterator[FakeServer]:
    """Start a fake server, and a separate process for the answer's client.

    Args:
        subject: the answer.
        patience: seconds to wait for the client; by default 3 more than those of the subject.
    """
    played = FakeServer(patience or subject.patience + 3)
    loop = asyncio.get_running_loop()
    async with serve(
        played.receive,
        "127.0.0.1",
        0,
        process_request=played.decide,
        close_timeout=0.2,
        ping_interval=None,
        max_size=None,
        # Don't compress: long messages must be long on the wire too.
        compression=None,
    ) as server:
        played.port = server.sockets[0].getsockname()[1]
        places = f"{DRIVER}{os.pathsep}{subject.folder}"
        address = f"ws://127.0.0.1:{played.port}/control"
        process = start_module("client_driver", [address], {"PYTHONPATH": places}, warm=True)
        log = subject.new_log()

        def read() -> None:
            for line in process.stdout:
                log.append(line.decode("utf-8", "replace").rstrip())
            with contextlib.suppress(RuntimeError):  # The loop may have ended already.
                loop.call_soon_threadsafe(played.started, None)

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        try:
            yield played
        finally:
            await asyncio.to_thread(end, process)
            await asyncio.to_thread(reader.join, 2)
            for attempt in played._of.values():
                if not attempt._answer.done():
                    attempt._answer.set_result(HTTPStatus.SERVICE_UNAVAILABLE)
                attempt._over.set()
