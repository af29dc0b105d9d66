"""A room of step 07 with members that read and members that don't, for several of its checks."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from functools import cache
from typing import Any

from judge.clients import Client
from judge.members import PING, Members, message
from judge.messages import parsed, same, show
from judge.model import Failure, Likely
from judge.slow_readers import GIANT, LARGE, in_one_piece, releases
from judge.subject import Subject
from websockets.exceptions import ConnectionClosed

WAITING = 64
"""Maximum number of messages in a member's queue."""
HUGE = 4 * LARGE
LONG = 100_000
"""Characters from which a text is encoded once, and not parsed."""
FILLING = 4
"""Huge messages: the operating system buffers at most one of them for a tiny member, and the rest must be queued."""
FEW = ["small"] * 4
"""Messages that are sent together, far fewer than a member's queue holds."""
DROPPED_BY = 300
"""Messages until a member that reads nothing must be disconnected, however many the operating system buffers."""
BEAT = 0.25
"""Heartbeat interval of most servers whose pings are judged, in seconds."""
LONG_BEAT = 1.0
"""Heartbeat interval for a machine that's too busy for the others, in seconds."""
CLOSING = "0.5"
"""CLOSE_TIMEOUT of servers that wait for it, in seconds. The others use the default."""
HELD = 6.0
"""Seconds for which the process may hold the TCP socket of a disconnected member."""
HELD_BRIEFLY = 4.0
"""Seconds for the same with `CLOSING`, eight times as long."""
QUIET = {"HEARTBEAT_INTERVAL": "600", "CLOSE_TIMEOUT": "20"}
"""Settings of servers that send no ping while a check runs, and that wait for a client even on a busy machine."""
BLOCK = "x" * 300_000 if hasattr(socket, "TCP_MAXSEG") else GIANT
"""A text that's larger than the buffers of a tiny member that reads nothing, and small enough to be read soon."""
IDS = (
    "The id is missing, isn't an integer, or isn't the next one of this room. Send the keys type, id, from and text, "
    "and count the messages of each room from 1."
)
BACKWARDS = (
    "An id is smaller than the one before: a count starts again, or a message is sent twice. Count the ids of each "
    "room upwards, without a limit, and send each message once."
)
SHARED_ID = (
    "Two messages to a room have the same id. Take the next id and store it without an await in between, and take one "
    "for each message."
)
NOT_CLOSING = (
    "The connection is aborted later than CLOSE_TIMEOUT, which is 0.5 s here. Start the timer with the "
    "CLOSE_TIMEOUT of settings.py, and start it when the tab is closed."
)
BURST = (
    "The queues of members that read overflow in a burst, because no writer runs meanwhile: uvicorn has the next "
    "message ready each time, so receive() never suspends. Add await asyncio.sleep(0) after each receive(), first in "
    "the loop, and disconnect a tab only while its writer waits in a send."
)
STALLS = (
    "A broadcast awaits a send to the member that reads nothing, so the whole room waits. Only put the message into "
    "its queue, without await, and let the member's own writer wait."
)
BLOCKED = Likely(STALLS, closed=BURST)
BLOCKED_AT_LIMIT = Likely(
    "The sender waits when a queue is full: it awaits put, a pause before it tries again, or the end of the full tab's "
    "connection or writer. Call put_nowait, and if 64 messages wait, close the tab without an await: put the close "
    "event into its queue.",
    closed=BURST,
)
DROP = (
    "The queue of a member that reads nothing has no limit, or loses messages when it's full. When 64 messages wait, "
    "disconnect the member instead of queueing the next one."
)
ABORT = (
    "The connection waits for a client that reads nothing: a close frame is only sent after everything else. Abort the "
    "transport CLOSE_TIMEOUT after the close, also at the end of the endpoint; a small ASGI middleware can reach it."
)


async def messages_of(tab: Client, count: int, *, first: int = 1, likely: str | Likely) -> list[Any]:
    """Read the next messages, and check that their ids are consecutive.

    Args:
        tab: the tab of a member.
        count: the number of messages.
        first: the id of the first message.
        likely: the cause, if a message is missing.

    Raises:
        Failure: a message is missing, or has another form.
    """
    messages: list[Any] = []
    while len(messages) < count:
        number = first + len(messages)
        value = await tab.next_object(expect=f"message {number}", likely=likely)
        if isinstance(value, dict) and value.get("type") == "message":
            messages.append(value)
            own = message(number, value.get("from", ""), value.get("text", ""))
            if value.keys() != own.keys() or (type(value["id"]), value["id"]) != (int, number):
                missing = (likely.wrong or likely.silence) if isinstance(likely, Likely) else likely
                cause = missing if same(value | {"id": number}, own) else IDS
                if type(value.get("id")) is int and value["id"] < number:
                    cause = SHARED_ID if value["id"] == number - 1 and messages else BACKWARDS
                raise Failure(sent=tab.did, got=show(value), expect=f"a message with the id {number}", likely=cause)
    return messages


async def let_go(subject: Subject, *tabs: Client, after: str, likely: str = ABORT, held: float = HELD) -> None:
    """Wait until the process no longer holds the TCP sockets of these clients.

    Args:
        subject: the server.
        tabs: the tabs of the clients.
        after: the event before, for a failure.
        likely: the cause, if the process still holds one.
        held: seconds for which the process may hold them.

    Raises:
        Failure: the process holds one for a longer time.
    """
    try:
        async with asyncio.timeout(held):
            await releases(subject, *tabs)
    except TimeoutError:
        got = f"the process still holds the TCP socket of the member that reads nothing after {held:g} s"
        if held < HELD:
            after += f"; CLOSE_TIMEOUT={CLOSING}"
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HELD - held + 1):
                    await releases(subject, *tabs)
                got, likely = f"{got}, and closes it later", NOT_CLOSING
        raise Failure(after=after, got=got, expect=f"the socket closed within {held:g} s", likely=likely) from None


async def talk(tab: Client, beat: float, text: str = '{"type": "pong"}') -> None:
    """Send a message three times per heartbeat interval, by default a pong, until the connection is closed."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            await tab.connection.send(text)
            await asyncio.sleep(beat / 3)


@cache
def frame_of(text: str) -> bytes:
    """Return a message to the room as the bytes that a client sends."""
    return in_one_piece([text])


class Room:
    """A room in which Ada sends, some members read, and other members don't."""

    def __init__(self, ada: Client, *others: Client) -> None:
        self.ada = ada
        self.all = (ada, *others)
        self.number = 0
        """The number of the last message."""
        self.left: set[str] = set()
        """The names in the `left` events that Ada received."""

    async def say(self, *texts: str, after: str, likely: str | Likely = BLOCKED) -> float:
        """Send messages as Ada, and return the seconds until all readers have received them.

        Raises:
            Failure: a reader doesn't receive one of them.
        """
        start = time.perf_counter()
        for text in texts:
            if len(text) < LONG:
                await self.ada.send({"type": "message", "text": text})
            else:
                # Encoded once: the checks send many of these.
                self.ada.connection.transport.write(frame_of(text))
        numbers = range(self.number + 1, self.number + 1 + len(texts))
        self.number += len(texts)
        await asyncio.gather(*(self._hears(tab, numbers, after, likely) for tab in self.all))
        return time.perf_counter() - start

    async def _hears(self, tab: Client, numbers: range, after: str, likely: str | Likely) -> None:
        tab.after = after
        for number in numbers:
            expect = f"message {number}"
            tab.did = f"{expect} of Ada"
            while True:
                frame = await tab.next(expect=expect, likely=likely)
                if len(frame) > LONG and str(frame).startswith(
                    f'{{"type":"message","id":{number},"from":"Ada","text":"'
                ):
                    break  # Its text isn't parsed, to save time.
                value = parsed(frame)
                if isinstance(value, dict) and value.get("type") == "message":
                    if value.get("id") == number:
                        break
                    raise Failure(after=after, sent=tab.did, got=show(value), expect=expect, likely=IDS)
                if tab is self.ada and isinstance(value, dict) and value.get("type") == "left":
                    self.left.add(value["name"])

    async def fill(self, name: str, *, since: int, after: str) -> list[float]:
        """Send messages as Ada until her connection receives the `left` event of a member that doesn't read.

        Huge messages fill the operating system's buffers, and small ones the queue. If that isn't enough, large ones
        follow.

        Args:
            name: the name of that member.
            since: the number of the last message before it stopped reading.
            after: the previous event, for a failure.

        Returns:
            For each message, or few messages sent together, the seconds until all readers have received them.

        Raises:
            Failure: the event arrives too late, too early, or not at all.
        """
        waits: list[float] = []
        while name not in self.left:
            sent = self.number - since
            if sent >= DROPPED_BY:
                got = f"no left after {DROPPED_BY} messages, most of them of 64 KiB"
                expect = "the kernel takes some dozens, 64 frames may wait, and at the next the member is dropped"
                raise Failure(after=after, got=got, expect=expect, likely=DROP)
            texts = [HUGE] if sent < FILLING else FEW if sent < FILLING + 2 * WAITING else [LARGE]
            waits.append(await self.say(*texts, after=after))
        # One of the last messages overflowed the queue; left was sent before it or after it.
        if self.number - since <= WAITING:
            got = f"left after {self.number - since} messages"
            expect = f"{WAITING} frames may wait, beyond what the kernel took"
            raise Failure(after=after, got=got, expect=expect, likely="the limit is lower than 64 frames")
        return waits


@contextlib.asynccontextmanager
async def a_room(subject: Subject, *names: str) -> AsyncIterator[tuple[str, Room]]:
    """Open a room with members of these names that read, and yield its name and the room. The first member sends."""
    members = Members(subject, PING)
    room = members.room()
    async with contextlib.AsyncExitStack() as stack:
        yield room, Room(*[await stack.enter_async_context(members.tab(room, name)) for name in names])
