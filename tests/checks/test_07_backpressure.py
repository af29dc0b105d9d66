"""Step 07: the checks of the exercise."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import psutil
from judge.clients import Client, parsed, same, show
from judge.members import BAD, BAD_DIRECT, PING, Members, joined, left, message
from judge.model import Failure, check
from judge.slow_readers import LARGE, LONGEST_WAIT, holds, in_one_piece
from judge.subject import Subject
from judge.tasks import spawn
from websockets.exceptions import ConnectionClosed

WAITING = 64
"""Frames that may wait for a member."""
HUGE = 4 * LARGE
FILLING = 16
"""Huge messages of which the kernel takes a part, and the rest has to wait."""
FEW = ["small"] * 4
"""Messages that are sent together, far fewer than may wait for a member."""
DROPPED_BY = 300
"""By so many messages a member that reads nothing is dropped, however much the kernel took."""
HELD = 6.0
"""Seconds that the process may hold the socket of a member that was dropped."""
PASSING = 25
"""MiB of messages that pass a member that was dropped."""
GROWTH = 20
"""MiB that the process may grow meanwhile."""
BEAT = 0.25
"""Seconds between two pings in most of these checks."""
SHORT_BEAT = 0.1
"""The same where no member has to stay alive, so that a busy machine can't be too slow for it."""
OFF_THE_LIST = 1.0
"""Seconds that a busy machine may be late with taking a silent member off the list."""
GONE_AFTER = 3.0
"""Seconds from SIGTERM to the end of the process."""


IDS = 'a message is exactly {"type": "message", "id": I, "from": N, "text": T}, ids 1, 2, 3, ... in each room'
ONE_ORDER = "the order differs when something is awaited between two members: number it and queue it for all at once"
STALLS = "a send to the member that does not read is awaited where messages are passed on: only its own task may wait"
DROP = "what waits for a member has no limit, or a full one loses messages: at 64 frames, drop the member at the next"
LISTED = "a dropped member stays on the list: take it off the room and tell the others at the moment of the drop"
ABORT = (
    "close() waits until everything is written, for a member that reads nothing for ever: "
    "abort the transport after a while; a small ASGI middleware can reach it"
)
CODE = "close with 1013 after what is on the way, and give the member half a second before the transport is aborted"
BURST = (
    "uvicorn hands the endpoint many frames before another task runs, so every queue fills: "
    "await asyncio.sleep(0) after each message"
)
PINGS = '{"type": "ping"} goes to every member every HEARTBEAT seconds, from one task that lifespan starts'
LIFE = "every frame is a sign of life, a binary or a bad one too, and nothing else is: not the join alone, not pongs"
SHUTDOWN = (
    "uvicorn waits for the stuck connection before lifespan hears of the end: its endpoint does get "
    "websocket.disconnect, with code 1012; abort the transport a moment later"
)


def memory(subject: Subject) -> float:
    """MiB that the server's process holds."""
    return psutil.Process(subject.server.pid).memory_info().rss / 2**20


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

    async def say(self, *texts: str, after: str) -> float:
        """Ada says something; how many seconds it takes until all have it.

        Raises:
            Failure: one of them does not get it.
        """
        start = time.perf_counter()
        for text in texts:
            await self.ada.send({"type": "message", "text": text})
        numbers = range(self.number + 1, self.number + 1 + len(texts))
        self.number += len(texts)
        await asyncio.gather(*(self._hears(tab, numbers, after) for tab in self.all))
        return time.perf_counter() - start

    async def _hears(self, tab: Client, numbers: range, after: str) -> None:
        tab.after = after
        for number in numbers:
            expect = f"message {number}"
            tab.did = f"{expect} of Ada"
            while True:
                value = await tab.next_object(expect=expect, likely=STALLS)
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


class TestExercise:
    @check(1, "numbers the messages of each room, also when it was empty")
    async def test_ids(self, subject: Subject) -> None:
        members = Members(subject, PING)
        room, lab = members.room(), members.room("lab")
        for first in (1, 4):
            async with members.tab(room, "Ada") as ada, members.tab(lab, "Linus") as linus:
                await self._skip(ada, 1)
                await self._skip(linus, 1)
                likely = IDS
                for number in range(first, first + 3):
                    await ada.send({"type": "message", "text": f"text {number}", "id": 7, "from": "Linus"})
                    await ada.gets(message(number, "Ada", f"text {number}"), likely=likely)
                    likely = "what was no message took a number, or another room's message did"
                    await ada.send("no JSON")
                    await ada.gets_error(likely="what cannot be read is answered with an error")
                    await ada.send({"type": "direct", "to": "Ada", "text": "note"})
                    await ada.gets({"type": "direct", "from": "Ada", "text": "note"}, likely="a direct one has no id")
                    await linus.send({"type": "message", "text": "there"})
                    await linus.gets(message(number, "Linus", "there"), likely="each room counts for itself")
                await ada.leave()
                await linus.leave()
                likely = "an empty room is no room any more, but its count stays"
                for name in (room, lab):
                    await members.come_to_nothing(name, after="the last member left", likely=likely)

    @check(1, "tells all members the same, in one order")
    async def test_order(self, subject: Subject) -> None:
        members = Members(subject, PING)
        room = members.room()
        names = [f"Ada {number}" for number in range(10)]
        async with contextlib.AsyncExitStack() as stack:
            tabs = [await stack.enter_async_context(members.tab(room, name)) for name in names]

            async def talk(tab: Client, name: str) -> list[Any]:
                messages: list[Any] = []
                for number in range(20):
                    text = f"{name}: {number}"
                    await tab.send({"type": "message", "text": text})
                    # It goes on when its own message has come: what is judged here is the order, not a burst.
                    while not messages or messages[-1]["text"] != text:
                        messages += await self._messages(tab, 1, first=len(messages) + 1, likely=ONE_ORDER)
                return messages + await self._messages(
                    tab, 200 - len(messages), first=len(messages) + 1, likely=ONE_ORDER
                )

            seen = await asyncio.gather(*(talk(tab, name) for tab, name in zip(tabs, names, strict=True)))
        after = "ten members sent 20 messages each"
        for one in seen:
            for mine, other in zip(one, seen[0], strict=True):
                if mine != other:
                    got = f"one member got {show(mine)}, another one at that place {show(other)}"
                    raise Failure(after=after, got=got, expect="one order", likely=ONE_ORDER)
        for name in names:
            texts = [message["text"] for message in seen[0] if message["from"] == name]
            if texts != [f"{name}: {number}" for number in range(20)]:
                expect = "what one member sent, in the order in which it was sent"
                likely = "a task for each message: tasks do not keep an order, a queue does"
                raise Failure(after=after, got=show(texts), expect=expect, likely=likely)

    @staticmethod
    async def _messages(tab: Client, count: int, *, first: int = 1, likely: str) -> list[Any]:
        """The next so many messages, with ids one after the other."""
        messages: list[Any] = []
        while len(messages) < count:
            number = first + len(messages)
            value = await tab.next_object(expect=f"message {number}", likely=likely)
            if isinstance(value, dict) and value.get("type") == "message":
                messages.append(value)
                own = message(number, value.get("from", ""), value.get("text", ""))
                if value.keys() != own.keys() or (type(value["id"]), value["id"]) != (int, number):
                    cause = likely if same(value | {"id": number}, own) else IDS
                    raise Failure(sent=tab.did, got=show(value), expect=f"a message with the id {number}", likely=cause)
        return messages

    @check(1, "still does what step 05 asked for")
    async def test_as_before(self, subject: Subject) -> None:
        members = Members(subject, PING)
        room = members.room()
        likely = "this is as in step 05: see the solution there"
        async with (
            members.tab(room, "Grace") as grace,
            members.tab(room, "Ada") as ada,
            members.tab(room, "Ada") as two,
        ):
            await members.enters(grace, "Grace", likely=likely)
            for tab in (ada, two):
                await members.enters(tab, "Ada", "Grace", likely=likely)
            await grace.gets(joined("Ada"), likely=likely)
            for frame in (*BAD, *BAD_DIRECT):
                await ada.send(frame)
                await ada.gets_error(likely=likely)
            await ada.send({"type": "direct", "to": "Nobody", "text": "hello"})
            await ada.gets_error(likely=likely)
            await grace.send({"type": "direct", "to": "Ada", "text": "hello"})
            for tab in (ada, two):
                await tab.gets({"type": "direct", "from": "Grace", "text": "hello"}, likely=likely)
            await two.reset()
            await members.are(room, "Ada", "Grace", after="one of Ada's two tabs ended", likely=likely)
            await members.remove(room, "Nobody", expect=404, likely=likely)
            await members.remove(room, "Ada", likely=likely)
            await grace.gets(left("Ada"), likely=likely)
            await ada.is_closed(1008, "removed", likely=likely)
            async with members.tab(room, "Ada") as back:
                await members.enters(back, "Ada", "Grace", likely=likely)
                await grace.gets(joined("Ada"), likely=likely)
                await back.finish()
                await grace.gets(left("Ada"), likely=likely)
            for query in ("", "?name=", f"?name={'x' * 21}"):
                answer = await subject.handshake(f"/ws/{room}{query}")
                if answer != 403:
                    got = f"HTTP {answer}" if isinstance(answer, int) else "the socket accepted"
                    raise Failure(sent=f"a handshake for /ws/{room}{query}", got=got, expect="HTTP 403", likely=likely)

    @check(2, "drops a member that takes nothing, lets go of its socket, and stays small")
    async def test_stuck(self, subject: Subject) -> None:
        async with subject.another(counting=True) as own:
            members = Members(own)
            before = await own.unfinished()
            async with a_room(own, "Ada") as (room, talk), members.tab(room, "Linus", narrow=True) as linus:
                after = "Linus stopped reading"
                await talk.say("hello", after="everybody reads")
                linus.stop_reading()
                least = most = memory(own)
                await talk.fill("Linus", since=1, after=after)
                dropped = spawn(let_go(own, linus, after="Linus was dropped"))
                await members.are(room, "Ada", after="Ada heard that Linus left", likely=LISTED)
                for _ in range(PASSING * 2**20 // len(HUGE)):
                    await talk.say(HUGE, after=after)
                    most = max(most, memory(own))
                if most - least > GROWTH:
                    got = f"the process grew by {most - least:.0f} MiB"
                    expect = f"less than {GROWTH} MiB while {PASSING} MiB of messages pass"
                    raise Failure(after=after, got=got, expect=expect, likely=DROP)
                await dropped
                path, counts = "/debug/sessions", {"sessions": 1, "rooms": 1}
                got = await own.get_json(path, likely="this is as in step 05")
                if got != counts:
                    raise Failure(sent=f"GET {path}", after=after, got=show(got), expect=show(counts), likely=LISTED)
            await own.comes_to_be_idle(before, after="a member was dropped, and the others left")

    @check(2, "lets nobody wait for the one who takes nothing")
    async def test_nobody_waits(self, subject: Subject) -> None:
        longest = []
        # A busy machine may hold up anything once, but not each time.
        for _ in range(3):
            async with (
                a_room(subject, "Ada", "Grace") as (room, talk),
                Members(subject, PING).tab(room, "Linus", narrow=True) as linus,
            ):
                linus.stop_reading()
                # While the small ones pass, the kernel takes nothing more. The huge ones take time on a busy machine.
                waits = (await talk.fill("Linus", since=0, after="Linus stopped reading"))[FILLING:]
                waits.append(await talk.say("he is gone", after="Linus was dropped"))
            longest.append(max(waits))
            if longest[-1] <= LONGEST_WAIT:
                return
        got = f"{1000 * min(longest):.0f} ms until Ada and Grace had a message"
        expect = f"{1000 * LONGEST_WAIT:.0f} ms at most"
        raise Failure(after="Linus stopped reading", got=got, expect=expect, likely=STALLS)

    @check(2, "gives a dropped member that reads again what was on the way, and 1013")
    async def test_reads_again(self, subject: Subject) -> None:
        async with a_room(subject, "Ada") as (room, talk), Members(subject, PING).tab(room, "Linus") as linus:
            linus.stop_reading()
            await talk.fill("Linus", since=0, after="Linus stopped reading")
            # The contract's own time.
            await asyncio.sleep(0.3)
            linus.read_again()
            linus.did = "nothing; it was dropped, and reads again 0.3 s later"
            came = await linus.is_closed(1013, likely=CODE)
            values = [parsed(frame) if isinstance(frame, str) else frame for frame in came]
            ids = [value.get("id") for value in values if isinstance(value, dict) and value.get("type") == "message"]
            if not ids or ids != list(range(1, len(ids) + 1)):
                gap = next((number for number, pair in enumerate(ids, 1) if pair != number), 1)
                got = f"message {ids[gap - 1]} where message {gap} was due" if ids else "no message at all"
                likely = "messages are thrown away for a member that stays: drop the member, not its messages"
                expect = "messages 1, 2, 3, ... without a gap, then 1013"
                raise Failure(sent=linus.did, got=got, expect=expect, likely=likely)
            # It was dropped at one of the last messages, or at the ones before, if left came after those.
            if len(ids) < talk.number - 2 * len(FEW):
                got = f"the first {len(ids)} messages, when {talk.number} had been sent"
                likely = "what waits is thrown away with the writer: let it be sent, and the close after it"
                raise Failure(sent=linus.did, got=got, expect="everything that waited, then 1013", likely=likely)

    @check(2, "drops nobody who reads, however large the burst")
    async def test_burst(self, subject: Subject) -> None:
        members = Members(subject, PING)
        for count, size in ((400, 20), (1000, 20), (400, 2000)):
            room = members.room()
            async with contextlib.AsyncExitStack() as stack:
                tabs = [await stack.enter_async_context(members.tab(room, name)) for name in ("Ada", "Grace", "Linus")]
                texts = [f"{number}".ljust(size) for number in range(count)]
                tabs[0].connection.transport.write(in_one_piece(texts))
                for tab in tabs:
                    tab.did = f"{count} messages of {size} characters, in one write"
                    await self._messages(tab, count, likely=BURST)

    @check(3, "sends a ping every HEARTBEAT seconds, and answers no pong")
    async def test_ping(self, subject: Subject) -> None:
        members = Members(await subject.under(HEARTBEAT=str(BEAT)))
        for attempt in range(3):
            try:
                return await self._are_pinged(members, members.room())
            except Failure as failure:
                # A busy machine may let a member seem silent, but not each time.
                if attempt == 2 or "4408" not in failure.got:
                    raise

    @staticmethod
    async def _are_pinged(members: Members, room: str) -> None:
        async with members.tab(room, "Ada") as ada, members.tab(room, "Grace") as grace:
            await grace.send({"type": "message", "text": "here"})
            for tab in (ada, grace):
                tab.patience += BEAT
                # There may have been a ping among the notices.
                while await tab.next_object(expect="message 1", likely=IDS) != message(1, "Grace", "here"):
                    pass
                tab.did = f"nothing yet; HEARTBEAT={BEAT}"
            times: list[float] = []
            # A busy machine may be late once, but not each time.
            for _ in range(7):
                await ada.gets(PING, likely=PINGS)
                times.append(time.perf_counter())
                await ada.send({"type": "pong"})
                await ada.send({"type": "pong", "more": [1]})
                while await grace.next_object(expect=show(PING), likely=PINGS) != PING:
                    pass  # the error
                await grace.send({"type": "pong"})
                await grace.send("no JSON")
                if times[2:] and abs(times[-1] - times[-3] - 2 * BEAT) < BEAT / 2:
                    break
            else:
                got = f"{times[-1] - times[-3]:.2f} s from one ping to the next but one"
                raise Failure(after=f"HEARTBEAT={BEAT}", got=got, expect=f"{2 * BEAT:.1f} s", likely=PINGS)

    @check(3, "takes every frame for a sign of life, and nothing else")
    async def test_silence(self, subject: Subject) -> None:
        members = Members(await subject.under(HEARTBEAT=str(BEAT)))
        room = members.room()
        signs: dict[str, str | bytes | dict[str, Any]] = {
            "message": {"type": "message", "text": "hello"},
            "pong": {"type": "pong"},
            "direct": {"type": "direct", "to": "Nobody", "text": "hello"},
            "no JSON": "hello",
            "binary": b"\x00",
        }
        late: list[str] = []
        async with contextlib.AsyncExitStack() as stack:
            watching = await stack.enter_async_context(members.tab(room, "watching"))

            async def fall_silent(kind: str) -> None:
                for _ in range(3):
                    last = time.perf_counter()
                    tab = await stack.enter_async_context(members.tab(room, kind))
                    tab.patience += BEAT
                    if kind == "nothing":
                        break
                    # Not with the first ping, so that it shows from when the time counts; and right after one, so that
                    # one beat too many is nearly five intervals.
                    for _ in range(2):
                        while await tab.next_object(expect="a ping", likely=PINGS) != PING:
                            pass
                    last = time.perf_counter()
                    await tab.send(signs[kind])
                    # On a busy machine this may have come too late, but not each time.
                    listed = await members.subject.get_json(members.list_path(room), likely=LIFE)
                    if kind in listed["names"]:
                        break
                    late.append(kind)
                pongs = spawn(self._pong(tab))
                pings, gap = await self._pings(tab)
                pongs.cancel()
                self._is_due(kind, tab, time.perf_counter() - last, pings, gap)

            living = spawn(self._live(watching))
            try:
                await asyncio.gather(*(fall_silent(kind) for kind in (*signs, "nothing")))
                likely = "a member whose time is over is off the list when its connection is closed"
                await members.are(room, "watching", after="all others were closed with 4408", likely=likely)
                await watching.send({"type": "message", "text": "alone"})
                gone = await living
            finally:
                living.cancel()
                await asyncio.gather(living, return_exceptions=True)
            if sorted(gone) != sorted([*signs, *late, "nothing"]):
                got = f"left of {', '.join(gone) or 'nobody'}"
                raise Failure(after="six members fell silent", got=got, expect="one left for each", likely=likely)

    @staticmethod
    async def _live(tab: Client) -> list[str]:
        """Answer each ping until a message comes; of whom this tab has heard that they left."""
        gone: list[str] = []
        tab.patience += BEAT
        while True:
            match await tab.next_object(expect="no end: each ping was answered with a pong", likely=LIFE):
                case {"type": "ping"}:
                    await tab.send({"type": "pong"})
                case {"type": "left", "name": name}:
                    gone.append(name)
                case {"type": "message", "text": "alone"}:
                    return gone

    @staticmethod
    async def _pong(tab: Client) -> None:
        """Protocol pongs, which every client sends by itself, also when the program behind it hangs."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                await tab.connection.pong()
                await asyncio.sleep(BEAT / 3)

    @staticmethod
    async def _pings(tab: Client) -> tuple[int, float]:
        """How many pings come until the connection is closed, and how many seconds before that the last one came."""
        pings, last = 0, time.perf_counter()
        with contextlib.suppress(TimeoutError, ConnectionClosed):
            async with asyncio.timeout(6 * BEAT + tab.patience):
                while True:
                    if parsed(await tab.connection.recv()) == PING:
                        pings, last = pings + 1, time.perf_counter()
        return pings, time.perf_counter() - last

    @staticmethod
    def _is_due(kind: str, tab: Client, took: float, pings: int, gap: float) -> None:
        """Judge when a silent member was closed.

        Three pings come in three intervals. A fourth may come at the end of the fourth interval, together with the
        close. What the clock shows decides only where that leaves a doubt, as a busy machine is late.
        """
        sent = f"{'only the handshake' if kind == 'nothing' else f'a last frame ({kind})'}; HEARTBEAT={BEAT}"
        expect = f"close code 4408 between {3 * BEAT:.1f} and {4 * BEAT:.1f} s after it"
        if tab.connection.close_code is None:
            got = f"the connection still open after {took:.2f} s"
            likely = "nobody looks for silent members, or protocol pongs are taken for a sign of life"
        elif tab.connection.close_code != 4408:
            got = f"close code {tab.connection.close_code}"
            likely = "the close code for a silent member is 4408"
        elif pings < 2 or (pings == 2 and took < 2.9 * BEAT):
            got, likely = f"4408 after {took:.2f} s", LIFE
        elif took > 4.5 * BEAT and (pings > 4 or (pings == 4 and gap > BEAT / 2)):
            got, likely = f"4408 after {took:.2f} s", "it is closed later than four intervals after the last frame"
        else:
            return
        raise Failure(sent=sent, got=got, expect=expect, likely=likely)

    @check(3, "lets go of the socket of a silent member that takes nothing")
    async def test_silent_and_stuck(self, subject: Subject) -> None:
        own = await subject.under(HEARTBEAT=str(SHORT_BEAT))
        members = Members(own)
        room = members.room()
        async with members.tab(room, "Linus", narrow=True) as linus:
            linus.stop_reading()
            # Its own messages come back to it, so no other member needs to talk.
            for _ in range(FILLING):
                await linus.send({"type": "message", "text": HUGE})
            start = time.perf_counter()
            after = f"Linus sends nothing more and reads nothing; HEARTBEAT={SHORT_BEAT}"
            while (await own.get(members.list_path(room), likely=PINGS)).status_code != 404:
                if time.perf_counter() > start + 4 * SHORT_BEAT + OFF_THE_LIST:
                    raise Failure(after=after, got="Linus still on the list", expect="Linus off the list", likely=PINGS)
                await asyncio.sleep(SHORT_BEAT / 5)
            await let_go(own, linus, after=after)

    @check(4, "ends within 3 s of SIGTERM, whoever is stuck, and tells who reads")
    async def test_terminates(self, subject: Subject) -> None:
        if sys.platform == "win32":
            return  # there is no SIGTERM to be heard
        await asyncio.gather(*(self._terminate(subject, kind) for kind in ("nobody", "one", "dropped")))

    @staticmethod
    async def _terminate(subject: Subject, kind: str) -> None:
        async with (
            subject.another() as own,
            a_room(own, "Ada") as (room, talk),
            a_room(own, "Grace") as (_, elsewhere),
            contextlib.AsyncExitStack() as stack,
        ):
            after = "everybody reads"
            if kind != "nobody":
                linus = await stack.enter_async_context(Members(own).tab(room, "Linus", narrow=True))
                linus.stop_reading()
                after = "Linus stopped reading"
                if kind == "one":
                    for _ in range(FILLING):
                        await talk.say(HUGE, after=after)
                else:
                    await talk.fill("Linus", since=0, after=after)
                    after += ", and was dropped"
            os.kill(own.server.pid, signal.SIGTERM)
            start = time.perf_counter()
            for tab in (*talk.all, *elsewhere.all):
                tab.did, tab.after = "nothing; SIGTERM went to the process", after
                await tab.is_closed(1012, likely="uvicorn closes with 1012 by itself, if the endpoint lets it")
            # It returns when the process has let go of its output.
            await asyncio.to_thread(own.server.wait_for, lambda log: False, GONE_AFTER - (time.perf_counter() - start))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2):
                    while own.server.exit_code is None:
                        await asyncio.sleep(0.01)
            if own.server.exit_code is None:
                got = f"the process still running after {GONE_AFTER:g} s"
                raise Failure(sent="SIGTERM to the process", after=after, got=got, expect="its end", likely=SHUTDOWN)

    @staticmethod
    async def _skip(tab: Client, count: int) -> None:
        """Read the list and the notices that another check has looked at."""
        for _ in range(count):
            await tab.next(expect="the list of members, or a notice", likely="this is as in step 05")
