"""Networks that deliver nothing, and don't end a connection, for a check of TODO 4 of step 08."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from judge.fake_server import PONG, ConnectionAttempt, FakeServer, fake_server
from judge.members import PING, message
from judge.messages import show
from judge.model import Failure
from judge.rejoining import ack
from judge.subject import Subject
from judge.tasks import running
from websockets.exceptions import ConnectionClosed
from workshop.network import Network

from .sent import CONNECTS, PINGS, accepted, key_in, key_of, keys_are

SHORT = 1.0
"""Seconds without a frame after which a client reconnects."""
LONG = 2.0
"""The same, for a client that has no reason to."""
PAUSE = 0.4
"""Seconds between two pings."""
LONGEST = 25.0
"""Seconds in which it must have reconnected, and must have sent and received."""
HUGE = 5_000_000
"""Characters of a message that's larger than all buffers between a client and a server that reads nothing."""
CLOSED_WITHIN = 13.0
"""Seconds in which a client that sends reconnects. The library may wait for ten of them, for an answer to its close."""
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
    """Answer the next connection of the client, until an event comes.

    On a busy machine, a further connection may be silent for too long as well, so each one is answered.

    Args:
        server: the one that the client connects to.
        answer: accepts the handshake, and sends what leads to the event.
        event: the event that must come.
        likely: the mistake, if no connection comes.
        seconds: in which a connection must come; by default the patience of the server.
        more: what the event has.

    Raises:
        Failure: no connection comes, or no event.
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
    """Accept the next connection of a client, and let it send more than the buffers hold, but read nothing."""
    attempt = await accepted(server, client)
    attempt.connection.transport.pause_reading()
    await server.do("send", client, text="x", times=HUGE)


async def half_open(subject: Subject, silence: float = SHORT) -> None:
    """Let the network deliver nothing while a message is unacknowledged."""
    async with fake_server(subject) as server, Network(server.port) as network:
        await server.begin(port=network.port, base=0.02, cap=0.05, silence=silence)
        try:
            attempt = await accepted(server)
            await attempt.send(message(1, "Grace", "hello"))
            await server.does("item", item=message(1, "Grace", "hello"), likely="a message is handed on")
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
                got, expect = f"a handshake with {attempt.query}", "after=1, the last id handed on"
                raise Failure(
                    after=server.did, got=got, expect=expect, likely="each connect asks for after= the last id"
                )
            again = key_in(server, await server.receive_from(attempt, likely=SILENCE), "one")
            keys_are(server, [again], [key])
            await attempt.send(ack(key, 2))

        await _reconnects(server, sends_again, "sent", text="one", id=2, likely=SILENCE)


async def without_answer(subject: Subject) -> None:
    """Don't answer a handshake."""
    async with fake_server(subject) as server:
        await server.begin(base=0.02, cap=0.05, silence=SHORT)
        await server.next_attempt(likely=CONNECTS)
        server.did = "a handshake without an answer"

        async def goes_on(attempt: ConnectionAttempt) -> None:
            await attempt.send(message(1, "Grace", "hello"))

        await _reconnects(server, goes_on, "item", item=message(1, "Grace", "hello"), likely=HANDSHAKE)


async def stuck(subject: Subject) -> None:
    """Read nothing from a client that sends more than the buffers hold."""
    async with fake_server(subject) as server:
        await server.begin(base=0.02, cap=0.05, silence=SHORT)
        await sends_huge(server)
        server.did = f"a message of {HUGE:,} characters, into a network that takes nothing and delivers nothing"

        async def sends_again(attempt: ConnectionAttempt) -> None:
            got = await server.receive_from(attempt, likely=STUCK)
            await attempt.send(ack(key_in(server, got, "x" * HUGE), 1))

        await _reconnects(server, sends_again, "sent", text="x", id=1, likely=STUCK, seconds=CLOSED_WITHIN)


async def pinged(subject: Subject) -> None:
    """Send nothing but pings, for longer than the client would wait without them."""
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
            # On a busy machine, a ping may come too late.
            if longest < LONG * 0.8:
                got = f"the client ended the connection after {len(answered) - 1} pings"
                raise Failure(after=server.did, got=got, expect="the same connection", likely=IS_ALIVE) from None
