"""Step 09, TODO 3: networks that deliver nothing, and close no connection."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from judge.conversation import pause
from judge.fake_server import DRIVER_ITSELF, PONG, ROUNDS, ConnectionAttempt, FakeServer, fake_server
from judge.members import PING, joined, message
from judge.messages import show
from judge.model import Failure, check
from judge.rejoining import ack, error
from judge.subject import Subject
from judge.tasks import running, spawn, stop
from websockets.exceptions import ConnectionClosed
from workshop.network import Network

from .limits import DROPPED, INBOX, NOT_WOKEN
from .resume import AFTER, gap
from .sent import CLOSED_AGAIN, CONNECTS, NO_ITEM, PINGS, accepted, ends, key_in, key_of, keys_are

SHORT = 1.0
"""The time without a message after which a client reconnects, in seconds."""
LONG = 1.5
"""The same, for clients that receive something in time and must not reconnect, in seconds."""
PAUSE = 0.65
"""The time between two messages to such a client, as a part of its `silence`."""
BUSY = 0.85
"""If the judge is later than this part of `silence`, the machine is too busy for a decision."""
SLOW = 2.4
"""The time for which a program reads nothing, as a multiple of `silence`."""
TOO_LONG = 1.8
"""The time after which a silent connection is late, as a part of `silence`."""
PING_INTERVAL = 0.4
"""The time between two pings to a client whose messages aren't read, in seconds."""
LONGEST = 25.0
"""The limit for a client to reconnect, send and receive, in seconds."""
HUGE = 5_000_000
"""The characters of a message that exceeds all buffers between a client and a server that reads nothing."""
CLOSED_WITHIN = SHORT + 5.0
"""The limit for a client to end such a connection, in seconds. Make allows two seconds after `silence`."""
SILENCE = (
    "Nothing limits your client's wait for the next message to silence seconds: the keepalive of the library doesn't "
    "use silence. Put async with asyncio.timeout(self.silence): around recv(), and reconnect after its TimeoutError."
)
LATE = (
    "Your client waits longer than silence seconds. Use self.silence itself as the timeout of recv(), and let it start "
    "with the last received message."
)
HANDSHAKE = (
    "Your client waits for the answer to its handshake for longer than silence. Pass an open_timeout= to connect() "
    "that is at most self.silence, and catch its TimeoutError, which is an OSError."
)
STUCK = (
    "Your client waits without a limit for data that the network doesn't accept. In await websocket.send(): end it "
    "after silence seconds with asyncio.timeout(), or cancel the writer when the reader ends. At the end of "
    "async with connect(...): close() ignores its close_timeout, so call websocket.transport.abort() before it."
)
STUCK_IN_SEND = (
    "Your client waits in await websocket.send() without a limit for data that the network doesn't accept. End it "
    "after silence seconds with asyncio.timeout(), or cancel the writer when the reader ends, and reconnect."
)
STUCK_IN_CLOSE = (
    "At the end of a connection, your client waits without a limit for data that the network doesn't accept: close() "
    "ignores its close_timeout then. Call websocket.transport.abort() in a finally inside async with connect(...)."
)
STUCK_AT_THE_END = (
    "At the end of async with, your client waits without a limit for data that the network doesn't accept: the task is "
    "canceled, and the close() of async with connect(...) ignores its close_timeout then. Call "
    "websocket.transport.abort() in a finally inside async with connect(...), which also runs for a canceled task."
)
UNREAD = (
    "While pings arrive, your client waits without a limit in a send: of a pong in the reader, or of a message in the "
    "writer. Put async with asyncio.timeout(self.silence): around both, and reconnect after its TimeoutError."
)
UNANSWERED = (
    "Your client closes the connection, and waits too long for the answer to its close frame, which can't arrive. Pass "
    "close_timeout=1 to connect()."
)
IS_ALIVE = (
    "Your client ends a connection on which {what} has arrived in time. Every received message starts the time again: "
    "put the timeout around each recv(), whatever it returns."
)
ENDED_BY = (
    "Your client ends its connection when {what} arrives. Leave the loop of the reader only when recv() raises, and "
    "ignore keys that aren't in self._unacknowledged."
)
ERROR_RAISES = (
    "Your client raises an exception for an error of the server, and that ends the task. Set it as the exception of "
    "the future with the error's key, and ignore an error with an unknown key."
)
SLOW_PROGRAM = (
    "Your client reconnects while its inbox is full: its timeout for silence covers the wait for room. Put the timeout "
    "around recv() only, and deliver outside of it."
)
ALIVE: dict[str, dict[str, Any]] = {
    "a ping": PING,
    "a message": message(1, "Grace", "hello"),
    "a gap": gap(1),
    "the list of members": {"type": "members", "names": ["Ada"]},
    "the notice joined": joined("Grace"),
    "an ack": ack("unknown", 1),
    "an error": error("unknown", retry=False),
}
"""What the server sends before the silence is too long."""


async def _reconnects(
    server: FakeServer,
    answer: Callable[[ConnectionAttempt], Awaitable[None]],
    event: str,
    *,
    likely: str,
    seconds: float = 0,
    **more: Any,
) -> None:
    """Serve the client's next connections until an event arrives.

    Serve each one, because on a busy machine a later connection can be silent for too long as well.

    Args:
        server: the fake server that the client connects to.
        answer: the function that serves an accepted connection, and leads to the event.
        event: the kind of the expected event.
        likely: the likely cause if the client doesn't connect.
        seconds: the longest wait for a connection, in seconds; 0 for the server's `patience`.
        more: the other fields of the event.

    Raises:
        Failure: the client doesn't connect, or the event doesn't arrive.
    """

    async def serve() -> None:
        while True:
            attempt = await server.next_attempt(likely=likely, seconds=seconds)
            with contextlib.suppress(ConnectionClosed):
                await attempt.accept()
                await answer(attempt)

    coming = server.does(event, likely=likely, seconds=LONGEST, **more)
    async with running(serve(), coming) as both:
        done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for each in done:
            each.result()


async def sends_huge(server: FakeServer, client: int = 0) -> None:
    """Accept a client's next connection, read nothing, and let the client send more than the buffers hold."""
    attempt = await accepted(server, client)
    attempt.connection.transport.pause_reading()
    await server.do("send", client, text="x", times=HUGE)


async def half_open(subject: Subject, silence: float = SHORT) -> None:
    """Check that a client reconnects when the network delivers nothing and a message is unacknowledged."""
    async with fake_server(subject) as server, Network(server.port) as network:
        await server.begin(port=network.port, base=0.02, cap=0.05, silence=silence)
        try:
            attempt = await accepted(server)
            await attempt.send(message(1, "Grace", "hello"))
            await server.does(
                "item",
                item=message(1, "Grace", "hello"),
                likely=NO_ITEM,
            )
            await server.do("send", text="one")
            key = await key_of(server, attempt, "one")
        except (Failure, ConnectionClosed):
            # On a busy machine, the client may have reconnected by now.
            if network.accepted == 1 or silence > SHORT:
                raise
            return await half_open(subject, 5 * SHORT)
        await server.ask("waits", "waits", of=0)
        network.half_open()
        server.did = "a network that delivers nothing, and doesn't end the connection"

        async def sends_again(attempt: ConnectionAttempt) -> None:
            if attempt.query.get("after") != ["1"]:
                got, expect = f"a handshake with {attempt.query}", "after=1, the last id delivered"
                raise Failure(after=server.did, got=got, expect=expect, likely=AFTER)
            again = key_in(server, await server.receive_from(attempt, likely=SILENCE), "one")
            keys_are(server, [again], [key])
            await attempt.send(ack(key, 2))

        try:
            await _reconnects(server, sends_again, "sent", text="one", id=2, likely=SILENCE)
        except Failure as failure:
            asked = (await server.ask("waits", "waits", of=0))["seconds"]
            if failure.likely == SILENCE and any(abs(each - silence) < 0.1 for each in asked):
                failure.likely = UNANSWERED
            raise


async def without_answer(subject: Subject) -> None:
    """Check that a client reconnects when its handshake gets no response."""
    async with fake_server(subject) as server:
        await server.begin(base=0.02, cap=0.05, silence=SHORT)
        await server.next_attempt(likely=CONNECTS)
        server.did = "a handshake without an answer"

        async def goes_on(attempt: ConnectionAttempt) -> None:
            await attempt.send(message(1, "Grace", "hello"))

        await _reconnects(server, goes_on, "item", item=message(1, "Grace", "hello"), likely=HANDSHAKE)


async def stuck(subject: Subject) -> None:
    """Check that a client reconnects when it sends more than the buffers hold and the server reads nothing."""
    async with fake_server(subject) as server:
        await server.begin(base=0.02, cap=0.05, silence=SHORT)
        await sends_huge(server)
        server.did = f"a message of {HUGE:,} characters, into a network that accepts and delivers no data"

        async def sends_again(attempt: ConnectionAttempt) -> None:
            got = await server.receive_from(attempt, likely=STUCK)
            await attempt.send(ack(key_in(server, got, "x" * HUGE), 1))

        try:
            await _reconnects(server, sends_again, "sent", text="x", id=1, likely=STUCK, seconds=CLOSED_WITHIN)
        except Failure as failure:
            if failure.likely == STUCK:
                await _names_the_line(server, failure)
            raise


async def _names_the_line(server: FakeServer, failure: Failure) -> None:
    """Add to a failure where the client waits in the library, and what for."""
    waits: list[dict[str, str]] = []
    with contextlib.suppress(Failure):
        waits = (await server.ask("state", "state", of=0))["waits"]
    for calls, likely in (
        ("close", STUCK_IN_CLOSE),
        ("wait_closed", STUCK_IN_CLOSE),
        ("__aexit__", STUCK_IN_CLOSE),
        ("send", STUCK_IN_SEND),
    ):
        if place := next((each["place"] for each in waits if each["calls"] == calls), ""):
            failure.got, failure.likely = f"{failure.got}: the client waits at {place}", likely
            return


async def stuck_with_pings(subject: Subject) -> None:
    """Check that a client reconnects when its messages aren't read, although it receives pings."""
    async with fake_server(subject) as server:
        await server.begin(base=0.02, cap=0.05, silence=SHORT)
        attempt = await accepted(server)
        attempt.connection.transport.pause_reading()
        await server.do("send", text="x", times=HUGE)
        server.did = (
            f"a message of {HUGE:,} characters to a server that reads nothing, and sends a ping every {PING_INTERVAL} s"
        )

        async def ping() -> None:
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await asyncio.sleep(PING_INTERVAL)
                    await attempt.send(PING)

        async with running(ping(), server.next_attempt(likely=UNREAD, seconds=CLOSED_WITHIN)) as (_, again):
            await again


async def stays(server: FakeServer, client: int, what: str) -> None:
    """Check that a client stays connected when this arrives in time, and the next ping too."""
    with contextlib.suppress(Failure):
        if await _stays(server, client, what, LONG):
            return
    # On a busy machine, the client may read a message too late: decide with a longer silence.
    await _stays(server, client + 100, what, 3 * LONG)


async def _stays(server: FakeServer, client: int, what: str, silence: float) -> bool:
    """Return whether the machine was fast enough for a decision."""
    clock = asyncio.get_running_loop().time
    await server.begin(client, silence=silence, base=0.02, cap=0.05)
    attempt = await accepted(server, client)
    before = sent_at = clock()
    closed_at: list[float] = []
    closing = spawn(attempt.connection.wait_closed())
    closing.add_done_callback(lambda _: closed_at.append(clock()))
    server.did = (
        f"{what} {PAUSE * silence:.1f} s after the handshake, and a ping as long after it, with silence={silence:g}"
    )
    try:
        for arriving in (ALIVE[what], PING):
            await pause(PAUSE * silence)
            sent_at, before = before, clock()
            await attempt.send(arriving)
            if before - sent_at > BUSY * silence:
                return False
        got = await server.receive_from(attempt, likely=PINGS)
        if got != PONG and what != "a ping":
            raise Failure(after=server.did, got=show(got), expect=show(PONG), likely=PINGS)
    except ConnectionClosed:
        if max(before - sent_at, clock() - before) > BUSY * silence:
            return False
        got = "the client ended the connection"
        # One that a message ended is closed long before the silence is too long.
        is_silence = (
            bool(closed_at) and min(abs(closed_at[0] - before), abs(closed_at[0] - sent_at)) > 0.3 * PAUSE * silence
        )
        likely = (IS_ALIVE if is_silence else ENDED_BY).format(what=what)
        failure = server.failure(client, got=got, expect="a pong on the same connection", likely=likely)
        if what == "an error" and failure.likely.startswith("Line "):
            failure.likely = ERROR_RAISES
        raise failure from None
    finally:
        await stop(closing)
    return True


async def silent(server: FakeServer, client: int) -> None:
    """Check that a client ends a connection on which nothing arrives, and reconnects."""
    await server.begin(client, silence=LONG, base=0.02, cap=0.05)
    attempt = await accepted(server, client)
    await attempt.send(message(1, "Grace", "hello"))
    await server.does("item", client, item=message(1, "Grace", "hello"), likely=NO_ITEM)
    # A timer in the client's process: a busy machine delays both.
    await server.do("timer", DRIVER_ITSELF, of=client, seconds=TOO_LONG * LONG)
    server.did = after = f"a message, and then nothing on a connection with silence={LONG:g}"
    late = server.next(client, expect="an event", likely="", seconds=LONGEST)
    async with running(attempt.connection.wait_closed(), late) as (closed, _):
        await asyncio.wait([closed, _], return_when=asyncio.FIRST_COMPLETED)
        if not closed.done():
            got = f"the connection is still open after {TOO_LONG * LONG:.1f} s, and no new one"
            likely = SILENCE
            if not server.attempts(client).empty():
                got, likely = "a new connection, and the old one is still open", CLOSED_AGAIN
            elif await has_timer(server, client):
                likely = LATE
            raise Failure(after=after, got=got, expect=f"a new connection after {LONG:g} s", likely=likely)
    await accepted(server, client, likely=SILENCE)


async def has_timer(server: FakeServer, client: int) -> bool:
    """Return whether a client has passed a delay to its event loop that's longer than `silence`, and not much."""
    asked = (await server.ask("waits", "waits", of=client))["seconds"]
    return any(1.05 * LONG < each <= 10 * LONG and each != 10 for each in asked)


async def slow_program(subject: Subject) -> None:
    """Check that a client with a full inbox keeps its connection, however long its program reads nothing."""
    with contextlib.suppress(Failure):
        return await _slow_program(subject, SHORT)
    # On a busy machine, the client may have read the items too late: decide with a longer silence.
    await _slow_program(subject, 3 * SHORT)


async def _slow_program(subject: Subject, silence: float) -> None:
    items = [message(number, "Grace", "hello") for number in range(1, INBOX + 100)]
    async with fake_server(subject) as server:
        await server.begin(silence=silence, read=False, base=0.02, cap=0.05)
        attempt = await accepted(server)
        with contextlib.suppress(ConnectionClosed):
            await attempt.send(*items, PING)
        await pause(SLOW * silence)
        await server.do("read")
        late = f"that reads after {SLOW * silence:.1f} s"
        server.did = f"{len(items)} messages and a ping, to a client with silence={silence:g} {late}"
        if attempt.is_closed or not server.attempts(0).empty():
            got, expect = "the client reconnected meanwhile", "the same connection"
            raise Failure(after=server.did, got=got, expect=expect, likely=SLOW_PROGRAM)
        try:
            for number, item in enumerate(items):
                await server.does("item", item=item, likely=NOT_WOKEN if number >= INBOX else DROPPED)
            await server.receive_from(attempt, likely=NOT_WOKEN)
        except (Failure, ConnectionClosed) as failure:
            if not attempt.is_closed and server.attempts(0).empty():
                raise
            got, expect = "the client ended the connection", "all items and a pong on the same connection"
            raise Failure(after=server.did, got=got, expect=expect, likely=SLOW_PROGRAM) from failure


async def alive(subject: Subject) -> None:
    """Check both sides of `silence`, with a client for each kind of message."""
    async with fake_server(subject) as server:
        kept = (stays(server, client, what) for client, what in enumerate(ALIVE))
        await asyncio.gather(*kept, silent(server, len(ALIVE)))


class Silence:
    @check(3, "reconnects when nothing arrives, and stays connected while pings arrive")
    async def test_silence(self, subject: Subject) -> None:
        situations = (half_open, without_answer, stuck, alive, slow_program)
        await asyncio.gather(*(situation(subject) for situation in situations))

    @check(3, "ends while the network accepts nothing")
    async def test_ends_stuck(self, subject: Subject) -> None:
        async with fake_server(subject) as server:
            await server.begin()
            await sends_huge(server)
            # Let the client run until its send() is suspended.
            for _ in range(ROUNDS):
                await server.handled()
            server.did = "the client was ended, while it sends into a network that accepts no data"
            await ends(server, likely=STUCK_AT_THE_END, seconds=CLOSED_WITHIN)
            # A server that never answers the close frame.
            await server.begin(1)
            attempt = await accepted(server, 1)
            attempt.connection.transport.pause_reading()
            await server.do("send", 1, text="hello")
            server.did = "the end of async with, on a connection whose close frame isn't answered"
            await ends(server, 1, likely=UNANSWERED, seconds=CLOSED_WITHIN)

    @check(3, "reconnects when its messages aren't read, although pings arrive")
    async def test_unread(self, subject: Subject) -> None:
        await stuck_with_pings(subject)
