"""A server that the judge controls for the mirror of step 13, and the process in which that mirror runs."""

import asyncio
import contextlib
import json
import os
import threading
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from workshop.process import end, start_module

from .messages import parsed, show
from .model import Failure
from .subject import Subject

DRIVER = Path(__file__).with_name("driver")
TOPICS = ["cpu", "memory", "disk"]
ENDED = "The process of your client has ended. If the cause isn't in its log, remove sys.exit() and os._exit()."
BLOCKS = "Your client blocks the event loop, so nothing else in its program runs. Wait with await, and not in a loop."
NO_SUBSCRIBE = (
    "Your client sends no subscribe on this connection. Send it right after the connection is open, with all topics."
)
NO_SEEN = (
    'Your client doesn\'t answer values. Send {"type": "seen", "last": ...} for each message with values, with its '
    "last, or the server sends no more."
)


class Feed:
    """One connection of a mirror.

    Args:
        fake: the server.
        connection: the connection.
    """

    def __init__(self, fake: "MirrorServer", connection: ServerConnection) -> None:
        self.fake = fake
        self.connection = connection

    async def send(self, *messages: dict[str, Any]) -> None:
        """Send messages as JSON."""
        for message in messages:
            self.fake.did = show(message)
            with contextlib.suppress(ConnectionClosed):
                await self.connection.send(json.dumps(message))

    async def snapshot(self, seq: int, **values: float) -> None:
        """Send a snapshot."""
        await self.send({"type": "snapshot", "seq": seq, "values": values})

    async def values(self, first: int, last: int, **values: float) -> None:
        """Send values."""
        await self.send({"type": "values", "first": first, "last": last, "values": values})

    async def next(self, *, expect: str, likely: str, closed: str = "") -> Any:
        """Return the next message of the mirror, parsed.

        Args:
            expect: the expected message, for the message of a failure.
            likely: the mistake, if none arrives.
            closed: the mistake, if the mirror closes the connection; by default `likely`.

        Raises:
            Failure: none arrives.
        """
        try:
            async with asyncio.timeout(self.fake.patience):
                return parsed(await self.connection.recv())
        except TimeoutError:
            got = f"nothing within {self.fake.patience:g} s"
        except ConnectionClosed:
            got = f"the connection closed, code {self.connection.close_code}"
            likely = closed or likely
        raise self.fake.failure(got, expect, likely)

    async def subscribed(self, *, likely: str = NO_SUBSCRIBE, closed: str = "") -> None:
        """Read up to a subscribe for all topics; a seen may come before it. See `next`.

        Raises:
            Failure: none arrives, or it's wrong.
        """
        expect = show({"type": "subscribe", "topics": TOPICS})
        message = {"type": "seen"}
        while isinstance(message, dict) and message.get("type") == "seen":
            message = await self.next(expect=expect, likely=likely, closed=closed)
        topics = message.get("topics") if isinstance(message, dict) else None
        if not isinstance(topics, list) or message != {"type": "subscribe", "topics": topics}:
            raise self.fake.failure(show(message), expect, likely)
        if sorted(map(str, topics)) != sorted(TOPICS):
            raise self.fake.failure(show(message), expect, "Subscribe to exactly the topics of Mirror().")

    async def seen(self, last: int, *, likely: str = NO_SEEN) -> None:
        """Check that the next message is this seen.

        Raises:
            Failure: it isn't.
        """
        expected = {"type": "seen", "last": last}
        message = await self.next(expect=show(expected), likely=likely)
        if message != expected:
            raise self.fake.failure(show(message), show(expected), likely)

    async def processed(self) -> None:
        """Wait until the mirror has received, and most likely handled, all messages so far."""
        with contextlib.suppress(ConnectionClosed, TimeoutError):
            async with asyncio.timeout(self.fake.patience):
                await (await self.connection.ping())
        # The library answers pings itself. The mirror's task runs before these answers.
        for _ in range(2):
            await self.fake.ask()

    async def drop(self) -> None:
        """End the connection without a close frame."""
        self.fake.did = "nothing more: the connection was cut"
        self.connection.transport.abort()
        await self.connection.wait_closed()


class MirrorServer:
    """A server that the judge controls, and the mirror that connects to it.

    Args:
        patience: seconds to wait for the mirror.
    """

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self.port = 0
        self.did = "nothing yet"
        """What the mirror received last, for the message of a failure."""
        self.after: str | None = None
        self.refuses = False
        """Whether handshakes are rejected with 503."""
        self.drops = False
        """Whether connections are closed with 1013 right after their handshake."""
        self.attempts = 0
        """The number of handshakes."""
        self.states: list[dict[str, Any]] = []
        """The states of the mirror so far."""
        self._feeds: asyncio.Queue[Feed] = asyncio.Queue()
        self._changed = asyncio.Event()
        self._answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._crash = ""
        self._control: asyncio.Future[ServerConnection | None] = asyncio.get_running_loop().create_future()
        self._over = asyncio.Event()

    @property
    def url(self) -> str:
        """The URL for the mirror."""
        return f"ws://127.0.0.1:{self.port}/ws"

    def decide(self, connection: ServerConnection, request: Request) -> Response | None:
        """Decide about a handshake, as the library's process_request."""
        if request.path == "/control":
            return None
        self.attempts += 1
        return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "") if self.refuses else None

    async def receive(self, connection: ServerConnection) -> None:
        """Handle a connection: of the mirror, or of the driver."""
        if connection.request is not None and connection.request.path != "/control":
            if self.drops:
                await connection.close(1013)
                return
            self._feeds.put_nowait(Feed(self, connection))
            await self._over.wait()
            return
        self.started(connection)
        with contextlib.suppress(ConnectionClosed):
            async for frame in connection:
                event = json.loads(frame)
                match event.pop("event"):
                    case "state":
                        self.states.append(event)
                    case "crashed":
                        self._crash = self._crash or event["error"]
                        self._answers.put_nowait({})
                    case _:
                        self._answers.put_nowait(event)
                self._changed.set()

    def started(self, control: ServerConnection | None) -> None:
        """Note that the driver is connected, or with None that it has ended."""
        if not self._control.done():
            self._control.set_result(control)

    async def do(self, action: str, **more: Any) -> None:
        """Send a command to the driver.

        Raises:
            Failure: the driver's process has ended, or doesn't start.
        """
        try:
            async with asyncio.timeout(self.patience + 5):
                control = await asyncio.shield(self._control)
        except TimeoutError:
            raise self.failure("no start of your client's program", "that it starts", BLOCKS) from None
        if control is None:
            raise self.failure("the end of your client's program", "that it runs", ENDED)
        await control.send(json.dumps({"do": action, **more}))

    async def enter(self, url: str | None = None, topics: list[str] | None = None) -> None:
        """Let the driver enter a mirror."""
        await self.do("enter", url=url or self.url, topics=TOPICS if topics is None else topics)

    async def ask(self, action: str = "ask", *, likely: str = BLOCKS) -> dict[str, Any]:
        """Send a command, and return the driver's answer: by default the state of the mirror now.

        Raises:
            Failure: the mirror has raised an exception, or the driver doesn't answer.
        """
        await self.do(action)
        try:
            async with asyncio.timeout(self.patience + 2):
                answer = await self._answers.get()
        except TimeoutError:
            raise self.failure("no answer of your client's program", "an answer", likely) from None
        if self._crash:
            raise self.failure(self._crash, "no exception", "")
        return answer

    async def feed(self, *, likely: str, seconds: float = 0) -> Feed:
        """Return the mirror's next connection.

        Args:
            likely: the mistake, if it doesn't connect.
            seconds: the longest wait, in seconds; by default the patience.

        Raises:
            Failure: it doesn't connect in time.
        """
        try:
            async with asyncio.timeout(seconds or self.patience):
                return await self._feeds.get()
        except TimeoutError:
            got = self._crash or f"no connection within {seconds or self.patience:g} s"
            raise self.failure(got, "a connection to the server", likely) from None

    async def attempted(self, attempts: int, *, likely: str, seconds: float) -> None:
        """Wait until the mirror has attempted this number of handshakes.

        Raises:
            Failure: it hasn't in time.
        """
        try:
            async with asyncio.timeout(seconds):
                while self.attempts < attempts:
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise self.failure(f"no attempt within {seconds:g} s", "another attempt", likely) from None

    async def until(
        self, holds: Callable[[dict[str, Any]], bool], *, expect: str, likely: str | Callable[[dict[str, Any]], str]
    ) -> dict[str, Any]:
        """Wait until the state of the mirror satisfies `holds`, and return it.

        Args:
            holds: a function that returns whether a state is the expected one.
            expect: the expected state, for the message of a failure.
            likely: the mistake, if no state is; or a function that finds it from the last state.

        Raises:
            Failure: it doesn't in time.
        """
        try:
            async with asyncio.timeout(self.patience + 2):
                while not self.states or not holds(self.states[-1]):
                    self._changed.clear()
                    await self._changed.wait()
                    if self._crash:
                        raise self.failure(self._crash, expect, "")
        except TimeoutError:
            state = self.states[-1] if self.states else {"seq": 0, "values": {}}
            cause = likely(state) if callable(likely) else likely
            raise self.failure(show_state(state), expect, cause) from None
        return self.states[-1]

    async def has(self, seq: int, *, likely: str | Callable[[dict[str, Any]], str], **values: float) -> None:
        """Wait until the mirror has this number and exactly these values.

        Raises:
            Failure: it doesn't in time.
        """
        state = {"seq": seq, "values": values}
        await self.until(
            lambda now: {"seq": now["seq"], "values": now["values"]} == state, expect=show_state(state), likely=likely
        )

    def failure(self, got: str, expect: str, likely: str) -> Failure:
        """Return a failure of the mirror."""
        return Failure(sent=self.did, after=self.after, got=got, expect=expect, likely=likely)


def show_state(state: dict[str, Any]) -> str:
    """Return a state of the mirror as a failure shows it."""
    if not state:
        return "no state of the mirror"
    return f"mirror.seq {state['seq']}, mirror.values {show(state['values'])}"


@contextlib.asynccontextmanager
async def mirror_server(subject: Subject, *, speed: int = 1) -> AsyncIterator[MirrorServer]:
    """Start a server for the answer's mirror, and a separate process in which the mirror runs.

    Args:
        subject: the answer.
        speed: seconds of the mirror's clock for each real second.
    """
    fake = MirrorServer(subject.patience + 1)
    loop = asyncio.get_running_loop()
    options: dict[str, Any] = {"close_timeout": 0.2, "ping_interval": None, "compression": None}
    async with serve(fake.receive, "127.0.0.1", 0, process_request=fake.decide, **options) as server:
        fake.port = server.sockets[0].getsockname()[1]
        places = f"{DRIVER}{os.pathsep}{subject.folder}"
        address = f"ws://127.0.0.1:{fake.port}/control"
        process = start_module("mirror_driver", [address], {"PYTHONPATH": places, "SPEED": str(speed)}, warm=True)
        log = subject.new_log()

        def read() -> None:
            for line in process.stdout:
                log.append(line.decode("utf-8", "replace").rstrip())
            with contextlib.suppress(RuntimeError):  # The loop may have ended already.
                loop.call_soon_threadsafe(fake.started, None)

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        try:
            yield fake
        finally:
            fake.refuses = True
            fake._over.set()
            await asyncio.to_thread(end, process)
            await asyncio.to_thread(reader.join, 2)
