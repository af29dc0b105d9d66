"""A fake server for an answer that's a client, and the process in which that client runs."""

import asyncio
import contextlib
import json
import os
import re
import threading
from collections.abc import AsyncIterator
from contextvars import ContextVar
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.protocol import State
from workshop.process import end, start_module

from .client_evidence import STOPS, Crash, cause_of, show_event
from .members import PING
from .model import Failure
from .subject import Subject
from .tasks import running

PONG = {"type": "pong"}
A_MESSAGE = "a message of the client"
A_PONG = '{"type": "pong"}'
NOT_JSON = "Your client sends something else than JSON. Send the string that json.dumps() returns."
LEFT = (
    "Your client ends a connection that works. Leave the loop of the reader only when recv() raises ConnectionClosed, "
    "or when nothing has arrived for silence seconds."
)
DRIVER = Path(__file__).with_name("driver")


class ConnectionAttempt:
    """One attempt of a client to connect.

    Args:
        client: the client's number.
        connection: its connection.
        request: its handshake.
    """

    def __init__(self, client: int, connection: ServerConnection, request: Request) -> None:
        self.client = client
        self.connection = connection
        self.target = request.path
        self.path = [unquote(part) for part in urlsplit(request.path).path.split("/")]
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
        self._decide(HTTPStatus(status))

    def abort_handshake(self) -> None:
        """End the connection in the middle of the handshake."""
        self.connection.transport.abort()
        self._decide(HTTPStatus.SERVICE_UNAVAILABLE)

    def _decide(self, status: HTTPStatus | None) -> None:
        # It's done if the client has ended the connection meanwhile.
        if not self._answer.done():
            self._answer.set_result(status)

    async def accept(self) -> None:
        """Accept the handshake. The connection may be lost before it's open."""
        self._decide(None)
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

    async def burst(self, *messages: dict[str, Any], code: int = 0) -> None:
        """Send messages in one packet, and after them a close frame with this code, unless it's 0."""
        protocol = self.connection.protocol
        sent = []
        for message in messages:
            protocol.send_text(json.dumps(message).encode())
            sent += protocol.data_to_send()
        if code:
            protocol.send_close(code)
            sent += protocol.data_to_send()
        self.connection.transport.write(b"".join(sent))
        if code:
            await self.connection.wait_closed()
            self._over.set()

    def begin_close(self, code: int) -> None:
        """Send a close frame, and keep the TCP connection open after the client's answer, until `drop`."""
        protocol = self.connection.protocol
        # Instead of the end of the TCP stream, which the library sends after the client's close frame.
        protocol.send_eof = lambda: setattr(protocol, "eof_sent", True)
        self.connection.protocol.send_close(code)
        self.connection.send_data()

    def drop(self) -> None:
        """End the connection without a close frame."""
        self.connection.transport.abort()
        self._over.set()

    @property
    def is_closed(self) -> bool:
        """Whether the connection has ended."""
        return self.connection.state is State.CLOSED


class FakeServer:
    """A server that the judge controls, and the answer's client that connects to it.

    Args:
        patience: seconds to wait for the client.
    """

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self.port = 0
        self.is_ending = False
        """Whether handshakes are rejected, because the check has ended."""
        # Per task: clients that a check runs side by side have their own.
        self._did: ContextVar[str] = ContextVar("did", default="it was started")
        self._attempts: dict[int, asyncio.Queue[ConnectionAttempt]] = {}
        self._over: dict[int, asyncio.Future[int | None]] = {}
        self._events: dict[int, asyncio.Queue[dict[str, Any]]] = {}
        self._control: asyncio.Future[ServerConnection | None] = asyncio.get_running_loop().create_future()
        self._of: dict[ServerConnection, ConnectionAttempt] = {}
        # One question at a time: an answer doesn't name its question.
        self._asking = asyncio.Lock()
        self.crashes: dict[int, list[Crash]] = {}
        """By client: the exceptions that ended its tasks."""
        self.delivered: dict[int, list[Any]] = {}
        """By client: the items that a check has read from its events."""
        self.texts: dict[int, list[str]] = {}
        """By client: the texts of the calls of send()."""

    @property
    def did(self) -> str:
        """The last events, for the message of a failure in this task."""
        return self._did.get()

    @did.setter
    def did(self, events: str) -> None:
        self._did.set(events)

    async def decide(self, connection: ServerConnection, request: Request) -> Response | None:
        """Decide about a handshake, as the library's process_request."""
        if request.path == "/control":
            return None
        if self.is_ending:
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "")
        found = re.match(r"/ws/lobby-(\d+)", request.path)
        client = int(found[1]) if found else 0
        self._of[connection] = ConnectionAttempt(client, connection, request)
        self.attempts(client).put_nowait(self._of[connection])
        return await self._of[connection].decide()

    async def receive(self, connection: ServerConnection) -> None:
        """Handle a connection: of a client, or of the driver."""
        if connection in self._of:
            return await self._of[connection].stay()
        self.started(connection)
        with contextlib.suppress(ConnectionClosed):
            async for frame in connection:
                event = json.loads(frame)
                if event["event"] == "crashed":
                    self.crashes.setdefault(event["client"], []).append(Crash(event["root"], event["errors"]))
                    continue
                self.events(event["client"]).put_nowait(event)
                over = self.over(event["client"])
                if event["event"] == "over" and not over.done():
                    over.set_result(event["stopped"])

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
        if action == "send":
            self.texts.setdefault(client, []).append(more["text"])
        # Allow more time: a slow start of the process isn't a bug in the client.
        expect = "exercise/client.py can be imported"
        started = asyncio.shield(self._control)
        control = await self._within(started, client, expect=expect, likely=IMPORT, seconds=STARTS_WITHIN)
        if control is None:
            raise Failure(after=self.did, got="its process ended", expect=expect, likely=IMPORT, broken=True)
        try:
            await control.send(json.dumps({"do": action, "client": client, **more}))
        except ConnectionClosed:
            got = "the process of the client ended"
            raise Failure(after=self.did, got=got, expect="it still runs", likely=EXITS, broken=True) from None

    async def ask(self, action: str, event: str, **more: Any) -> dict[str, Any]:
        """Send a command that the driver answers itself, and return the answer."""
        async with self._asking:
            await self.do(action, DRIVER_ITSELF, **more)
            answer = await self.next(DRIVER_ITSELF, expect="an answer of the client's process", likely=BLOCKS)
        assert answer["event"] == event
        return answer

    async def handled(self) -> None:
        """Wait until the driver has started all earlier commands."""
        await self.ask("handled", "handled")

    async def begin(
        self, client: int = 0, *, url: str = "", host: str = "127.0.0.1", port: int = 0, **more: Any
    ) -> None:
        """Start a client, by default one that connects to this server.

        Args:
            client: the client's number.
            url: the URL that it connects to.
            host: without a url, the name of the judge's host.
            port: without a url, the port of a network in front of the judge; 0 for the judge's own.
            more: arguments of `ResilientClient`, and `read=False` for a client without a reader, and
                `empty=True` for an async with whose block is empty.
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
            expect = f"a new connection of the client within {seconds or self.patience:g} s"
            await self._within(first, client, expect=expect, likely=likely, seconds=seconds)
            if coming.done():
                return coming.result()
        got = f"the iteration ended, and stopped is {over.result()}"
        if (code := over.result()) is not None and code not in FATAL:
            likely = STOPS.format(code=code)
        raise self.failure(client, got=got, expect=expect, likely=likely, broken=True)

    async def next(self, client: int = 0, *, expect: str, likely: str, seconds: float = 0) -> dict[str, Any]:
        """Return the next event of a client.

        Raises:
            Failure: there is none.
        """
        event = await self._within(self.events(client).get(), client, expect=expect, likely=likely, seconds=seconds)
        if event["event"] == "item":
            self.delivered.setdefault(client, []).append(event["item"])
        return event

    async def does(
        self, event: str, client: int = 0, *, likely: str, wrong: str = "", seconds: float = 0, **more: Any
    ) -> None:
        """Check that the next event of a client is this one.

        Args:
            event: the kind of the event.
            client: the client's number.
            likely: the likely cause if there's none.
            wrong: the likely cause of another event, if the event doesn't explain it; by default the same.
            seconds: the longest wait, in seconds; 0 for the server's `patience`.
            more: the other fields of the event.

        Raises:
            Failure: it's another one, or none.
        """
        wanted = {"event": event, "client": client, **more}
        expect = show_event(wanted)
        before = list(self.delivered.get(client, ()))
        got = await self.next(client, expect=expect, likely=likely, seconds=seconds)
        if got != wanted:
            failure = await self.differs(client, got, wanted, before, likely=wrong or likely)
            if wrong and got["event"] in ("over", "rejected"):
                failure.likely = wrong
            raise failure

    async def differs(
        self,
        client: int,
        got: dict[str, Any],
        wanted: dict[str, Any] | None,
        before: list[Any],
        *,
        likely: str,
        expect: str = "",
    ) -> Failure:
        """Return the failure for an event that isn't the expected one.

        Args:
            client: the client's number.
            got: the event.
            wanted: the expected event; None for none.
            before: the items that were delivered before.
            likely: the likely cause, if the event doesn't explain it.
            expect: the text for the expected events, by default that of `wanted`.
        """
        cause = cause_of(got, wanted or {"event": ""}, before)
        if crash := got["event"] in ("over", "failed", "ended"):
            # The driver reports a crash after the events that it causes.
            with contextlib.suppress(Failure):
                await self.handled()
        return self.failure(
            client,
            got=show_event(got),
            expect=expect or (show_event(wanted) if wanted else "nothing more"),
            likely=cause or likely,
            crash=crash,
        )

    async def all_of(self, *wanted: dict[str, Any], client: int = 0, likely: str, wrong: str = "") -> None:
        """Check that the next events of a client are these, in any order.

        Args:
            wanted: the events, without the client's number.
            client: the client's number.
            likely: the likely cause if one of them is missing.
            wrong: the likely cause of another event, if the event doesn't explain it; by default the same.

        Raises:
            Failure: another event arrives, or too few.
        """
        left = [{"client": client, **each} for each in wanted]
        while left:
            expect = " and ".join(show_event(each) for each in left)
            before = list(self.delivered.get(client, ()))
            got = await self.next(client, expect=expect, likely=likely)
            if got not in left:
                same = [each for each in left if each["event"] == got["event"]]
                raise await self.differs(client, got, (same or left)[0], before, likely=wrong or likely, expect=expect)
            left.remove(got)

    async def quiet(self, client: int = 0, *, likely: str) -> None:
        """Check that no event of a client is left unread.

        Raises:
            Failure: one is left.
        """
        await self.handled()
        if not self.events(client).empty():
            before = list(self.delivered.get(client, ()))
            got = await self.next(client, expect="nothing more", likely=likely)
            raise await self.differs(client, got, None, before, likely=likely)

    def failure(
        self, client: int, *, got: str, expect: str, likely: str, broken: bool = False, crash: bool = True
    ) -> Failure:
        """Return a failure. If a task of the client has crashed, that's the cause.

        Args:
            client: the client's number.
            got: the observed result.
            expect: the expected result.
            likely: the likely cause, if no task has crashed.
            broken: whether there was no answer at all.
            crash: whether a crash can explain the result.
        """
        crashes = [each for each in self.crashes.get(client, ()) if each.explains] if crash or broken else []
        if crashes:
            first = next((each for each in crashes if each.is_root), crashes[0])
            got, likely, broken = f"{got}; {first}", first.likely, False
        return Failure(after=self.did, got=got, expect=expect, likely=likely, broken=broken)

    async def next_message(self, attempt: ConnectionAttempt, *, likely: str, expect: str = A_MESSAGE) -> Any:
        """Return the next message of the client, as an object.

        Raises:
            Failure: none arrives, or it isn't JSON.
        """
        try:
            return await self.receive_from(attempt, likely=likely, expect=expect)
        except ValueError:
            got, likely = "a message that isn't JSON", NOT_JSON
        except ConnectionClosed as error:
            code = f"with {error.rcvd.code}" if error.rcvd else "without a close frame"
            got, likely = f"the client ended the connection, {code}", LEFT
        raise self.failure(attempt.client, got=got, expect=expect, likely=likely)

    async def receive_from(self, attempt: ConnectionAttempt, *, likely: str, expect: str = A_MESSAGE) -> Any:
        """Return the next message of the client, as an object.

        Raises:
            Failure: there is none.
            ConnectionClosed: the connection is lost.
            ValueError: it isn't JSON.
        """
        receiving = attempt.connection.recv()
        return json.loads(await self._within(receiving, attempt.client, expect=expect, likely=likely))

    async def messages_before_pong(self, attempt: ConnectionAttempt, *, likely: str) -> list[Any]:
        """Send a ping, and return what the client sends before the pong.

        Raises:
            Failure: the pong doesn't arrive.
        """
        await attempt.send(PING)
        before = []
        while (got := await self.next_message(attempt, likely=likely, expect=A_PONG)) != PONG:
            before.append(got)
        return before

    async def answer_to_close(self, attempt: ConnectionAttempt, *, likely: str) -> None:
        """Wait for the client's answer to a close frame, and leave its TCP connection open.

        Raises:
            Failure: it doesn't answer.
        """
        protocol = attempt.connection.protocol

        async def answered() -> None:
            while protocol.close_rcvd is None:
                await asyncio.sleep(0.002)

        await self._within(answered(), attempt.client, expect="a close frame of the client", likely=likely)

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

    async def _within(self, coming: Any, client: int, *, expect: str, likely: str, seconds: float = 0) -> Any:
        seconds = seconds or self.patience
        try:
            async with asyncio.timeout(seconds):
                return await coming
        except TimeoutError:
            got = f"nothing within {seconds:g} s"
            raise self.failure(client, got=got, expect=expect, likely=likely, broken=True) from None


FATAL = (1008, 4401, 401, 403)
"""The close codes and the HTTP statuses that stop a client."""
DRIVER_ITSELF = -1
"""Used instead of a client's number."""
ROUNDS = 5
"""Consecutive pings that a client answers without sending anything else, if it has nothing left to send."""
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
            # Otherwise a handshake that's still on its way holds up the end of the server for ten seconds.
            played.is_ending = True
            await asyncio.to_thread(end, process)
            await asyncio.to_thread(reader.join, 2)
            for attempt in played._of.values():
                if not attempt._answer.done():
                    attempt._answer.set_result(HTTPStatus.SERVICE_UNAVAILABLE)
                attempt._over.set()
