"""A room of step 07, with members who read and members who don't: what several of its checks need."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

from judge.clients import Client
from judge.members import PING, Members, message
from judge.messages import same, show
from judge.model import Failure, Likely
from judge.slow_readers import LARGE, holds
from judge.subject import Subject

WAITING = 64
"""Frames that may wait for a member."""
HUGE = 4 * LARGE
FILLING = 16
"""Huge messages of which the kernel takes a part, and the rest has to wait."""
FEW = ["small"] * 4
"""Messages that are sent together, far fewer than may wait for a member."""
DROPPED_BY = 300
"""By so many messages a member that reads nothing is dropped, however much the kernel took."""
CLOSING = "0.5"
"""CLOSE_TIMEOUT of servers that wait for it, in seconds. The others have the default."""
HELD = 6.0
"""Seconds that the process may hold the socket of a member that was dropped."""
IDS = 'a message is exactly {"type": "message", "id": I, "from": N, "text": T}, ids 1, 2, 3, ... in each room'
STALLS = "a send to the member that does not read is awaited where messages are passed on: only its own task may wait"
DROP = (
    "The queue of a member that reads nothing has no limit, or loses messages when it's full. When 64 messages wait, "
    "disconnect the member instead of queueing the next one."
)
ABORT = (
    "close() waits until everything is written, for a member that reads nothing for ever: "
    "abort the transport after a while; a small ASGI middleware can reach it"
)


async def messages_of(tab: Client, count: int, *, first: int = 1, likely: str | Likely) -> list[Any]:
    """Read the next messages, whose ids must follow one another.

    Args:
        tab: of a member.
        count: of the messages.
        first: the id of the first one.
        likely: the mistake, if one is missing.

    Raises:
        Failure: one is missing, or has another form.
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
                raise Failure(sent=tab.did, got=show(value), expect=f"a message with the id {number}", likely=cause)
    return messages


async def let_go(subject: Subject, tab: Client, *, after: str, likely: str = ABORT) -> None:
    """Wait until the process no longer holds the client's socket.

    Raises:
        Failure: it takes too long.
    """
    try:
        async with asyncio.timeout(HELD):
            while await asyncio.to_thread(holds, subject, tab):
                await asyncio.sleep(0.05)
    except TimeoutError:
        got = f"the process still holds the socket of the stuck member after {HELD:g} s"
        raise Failure(after=after, got=got, expect=f"the socket gone within {HELD:g} s", likely=likely) from None


class Room:
    """Ada, who sends, and others who read, in a room beside members who do not."""

    def __init__(self, ada: Client, *others: Client) -> None:
        self.ada = ada
        self.all = (ada, *others)
        self.number = 0
        """Of the last message."""
        self.left: set[str] = set()
        """Of whom Ada has heard that they left."""

    async def say(self, *texts: str, after: str, likely: str | Likely = STALLS) -> float:
        """Ada says something; how many seconds it takes until all have it.

        Raises:
            Failure: one of them does not get it.
        """
        start = time.perf_counter()
        for text in texts:
            await self.ada.send({"type": "message", "text": text})
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
                value = await tab.next_object(expect=expect, likely=likely)
                if isinstance(value, dict) and value.get("type") == "message":
                    if value.get("id") == number:
                        break
                    raise Failure(after=after, sent=tab.did, got=show(value), expect=expect, likely=IDS)
                if tab is self.ada and isinstance(value, dict) and value.get("type") == "left":
                    self.left.add(value["name"])

    async def fill(self, name: str, *, since: int, after: str) -> list[float]:
        """Ada says things until she hears that the member who does not read has left.

        Huge messages fill what the kernel keeps, and small ones the queue. Where that isn't enough, large ones follow.

        Args:
            name: of that member.
            since: the number of the last message before it stopped reading.
            after: what has happened.

        Returns:
            For one message or a few at a time, how many seconds it took until all who read had them.

        Raises:
            Failure: it comes too late, too early, or not.
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
        # One of the last messages was one too many; left came before it or after it.
        if self.number - since <= WAITING:
            got = f"left after {self.number - since} messages"
            expect = f"{WAITING} frames may wait, beyond what the kernel took"
            raise Failure(after=after, got=got, expect=expect, likely="the limit is lower than 64 frames")
        return waits


@contextlib.asynccontextmanager
async def a_room(subject: Subject, *names: str) -> AsyncIterator[tuple[str, Room]]:
    """A room with members of these names who read, of whom the first one sends; and what it is called."""
    members = Members(subject, PING)
    room = members.room()
    async with contextlib.AsyncExitStack() as stack:
        yield room, Room(*[await stack.enter_async_context(members.tab(room, name)) for name in names])
