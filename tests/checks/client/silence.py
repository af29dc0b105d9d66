"""Step 09, TODO 3: networks that deliver nothing, and close no connection."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from judge.fake_server import PONG, ROUNDS, ConnectionAttempt, FakeServer, fake_server
from judge.members import PING, message
from judge.messages import show
from judge.model import Failure, check
from judge.rejoining import ack
from judge.subject import Subject
from judge.tasks import running
from websockets.exceptions import ConnectionClosed
from workshop.network import Network

from .sent import CONNECTS, PINGS, accepted, ends, key_in, key_of, keys_are

SHORT = 1.0
"""The time without a message after which a client reconnects, in seconds."""
LONG = 2.0
"""The same, for a client that receives pings and must not reconnect, in seconds."""
PAUSE = 0.4
"""The interval between two pings, in seconds."""
LONGEST = 25.0
"""The limit for a client to reconnect, send and receive, in seconds."""
HUGE = 5_000_000
"""The characters of a message that exceeds all buffers between a client and a server that reads nothing."""
CLOSED_WITHIN = 13.0
"""The limit for a client with a suspended send to reconnect, in seconds. The library may spend 10 s of it on the
wait for the reply to its close frame."""
SILENCE = (
    "Your client waits for the next frame without a limit, but a network can end without a close frame. "
    "Receive within asyncio.timeout(silence), and reconnect after it."
)
HANDSHAKE = (
    "Your client waits for the answer to its handshake for longer than silence. Connect with an open_timeout that is "
    "at most that."
)
STUCK = (
    "Your client waits without a limit for what it has sent, because the network takes nothing: in the send() of "
    "websockets, or in its close(), which ignores its close_timeout then. Call websocket.transport.abort()."
)
UNREAD = (
    "Your client waits in send() without a limit as long as pings arrive. Put a timeout of silence seconds around each "
    "send, also around the send of a pong, and reconnect after it."
)
IS_ALIVE = "Your client ends a connection on which pings come. Every frame counts: start to wait again after each one."


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
                likely="Your client doesn't deliver a message. Put each message object into the inbox.",
            )
            await server.do("send", text="one")
            key = await key_of(server, attempt, "one")
        except (Failure, ConnectionClosed):
            # On a busy machine, the client may have reconnected by now.
            if network.accepted == 1 or silence > SHORT:
                raise
            return await half_open(subject, 5 * SHORT)
        network.half_open()
        server.did = "a network that delivers nothing, and doesn't end the connection"

        async def sends_again(attempt: ConnectionAttempt) -> None:
            if attempt.query.get("after") != ["1"]:
                got, expect = f"a handshake with {attempt.query}", "after=1, the last id delivered"
                raise Failure(
                    after=server.did, got=got, expect=expect, likely="each connect asks for after= the last id"
                )
            again = key_in(server, await server.receive_from(attempt, likely=SILENCE), "one")
            keys_are(server, [again], [key])
            await attempt.send(ack(key, 2))

        await _reconnects(server, sends_again, "sent", text="one", id=2, likely=SILENCE)


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
        server.did = f"a message of {HUGE:,} characters, into a network that takes nothing and delivers nothing"

        async def sends_again(attempt: ConnectionAttempt) -> None:
            got = await server.receive_from(attempt, likely=STUCK)
            await attempt.send(ack(key_in(server, got, "x" * HUGE), 1))

        await _reconnects(server, sends_again, "sent", text="x", id=1, likely=STUCK, seconds=CLOSED_WITHIN)


async def stuck_with_pings(subject: Subject) -> None:
    """Check that a client reconnects when its messages aren't read, although it receives pings."""
    async with fake_server(subject) as server:
        await server.begin(base=0.02, cap=0.05, silence=SHORT)
        attempt = await accepted(server)
        attempt.connection.transport.pause_reading()
        await server.do("send", text="x", times=HUGE)
        server.did = (
            f"a message of {HUGE:,} characters to a server that reads nothing, and sends a ping every {PAUSE} s"
        )

        async def ping() -> None:
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await asyncio.sleep(PAUSE)
                    await attempt.send(PING)

        async with running(ping(), server.next_attempt(likely=UNREAD, seconds=CLOSED_WITHIN)) as (_, again):
            await again


async def pinged(subject: Subject) -> None:
    """Check that a client stays connected while it receives only pings, for longer than `silence`."""
    clock = asyncio.get_running_loop().time
    async with fake_server(subject) as server:
        await server.begin(silence=LONG)
        attempt = await accepted(server)
        server.did = f"nothing but a ping every {PAUSE} s, to a client with silence={LONG:g}"
        answered = [clock()]
        try:
            while answered[-1] - answered[0] < 1.2 * LONG:
                await asyncio.sleep(PAUSE)
                await attempt.send(PING)
                if (got := await server.receive_from(attempt, likely=PINGS)) != PONG:
                    raise Failure(after=server.did, got=show(got), expect=show(PONG), likely=PINGS)
                answered.append(clock())
        except ConnectionClosed:
            longest = max(later - earlier for earlier, later in zip(answered, [*answered[1:], clock()], strict=True))
            # Fail only if every ping was in time: a busy machine may delay one.
            if longest < LONG * 0.8:
                got = f"the client ended the connection after {len(answered) - 1} pings"
                raise Failure(after=server.did, got=got, expect="the same connection", likely=IS_ALIVE) from None


class Silence:
    @check(3, "reconnects when nothing arrives, and stays connected while pings arrive")
    async def test_silence(self, subject: Subject) -> None:
        situations = (half_open, without_answer, stuck, pinged)
        await asyncio.gather(*(situation(subject) for situation in situations))

    @check(3, "ends while the network accepts nothing")
    async def test_ends_stuck(self, subject: Subject) -> None:
        async with fake_server(subject) as server:
            await server.begin()
            await sends_huge(server)
            # Let the client run until its send() is suspended.
            for _ in range(ROUNDS):
                await server.handled()
            server.did = "the client was ended, while it sends into a network that takes nothing"
            await ends(server, likely=STUCK, seconds=CLOSED_WITHIN)

    @check(3, "reconnects when its messages aren't read, although pings arrive")
    async def test_unread(self, subject: Subject) -> None:
        await stuck_with_pings(subject)
