"""Step 07, TODO 2: slow consumers are disconnected, and don't delay other members."""

import asyncio
import time
from dataclasses import replace

import psutil
from judge.clients import anything
from judge.conversation import pause
from judge.members import PING, Members, joined, left
from judge.messages import show
from judge.model import Failure, Likely, check
from judge.sessions import ENDS, read_on
from judge.slow_readers import LONGEST_WAIT, in_one_piece, read_slowly, stuck_members
from judge.subject import Subject
from judge.tasks import running
from websockets.frames import Close, Opcode

from .backlog import CODE, KINDS, LISTED, TWICE, Backlog, backlog
from .room import (
    BEAT,
    BLOCK,
    BLOCKED,
    BLOCKED_AT_LIMIT,
    BURST,
    CLOSING,
    DROP,
    DROPPED_BY,
    FILLING,
    HELD_BRIEFLY,
    HUGE,
    LONG_BEAT,
    QUIET,
    STALLS,
    WAITING,
    Room,
    a_room,
    let_go,
    messages_of,
)
from .room import talk as answer_pings

PASSING = 12
"""MiB of messages that are sent after a member was disconnected."""
GROWTH = 8
"""MiB by which the process may grow in that time. The worked solution grows by 1 at most."""
CLOSE_TIMEOUT = 2.0
"""CLOSE_TIMEOUT by default, in seconds."""
READS_ON_AFTER = 1.4
"""Seconds for which a tab pauses, less than `CLOSE_TIMEOUT`."""
LONG_PAUSE = 2.5
"""Seconds for which such a client pauses."""
WAYS = (
    "disconnected at the next message",
    "disconnected at the next message, and then RST",
    "disconnected at the next message, and then FIN",
    "RST",
    "FIN",
    "DELETE",
)
"""How a tab ends whose queue is full."""
MOST = WAITING + 4
"""Messages after which every member that reads nothing must be disconnected."""
RATE = 1_048_576
"""Bytes per second that a slow member reads."""
HEAVY = "x" * 98_304
"""A text of which 64 take 6 s to read at that rate: longer than CLOSE_TIMEOUT, though the kernel's buffer grows."""
FILLER = "x" * 262_144
MANY = 70
"""Members that read nothing, all in one room: more than a queue holds notices."""
MORE = 350
"""Members: so many that a function that calls itself for each of them exceeds the recursion limit."""
FIXED = (
    "The connection is aborted a fixed time after the disconnect, though its client still reads. Restart the timer "
    "whenever the writer could send a message."
)
FIRST_FULL = (
    "A message isn't queued for the tabs behind the first one that's full. Go through all of them, and close those "
    "that are full after the loop."
)
STRICT = (
    "Many notices are queued in one go, and a tab that reads is disconnected before its writer has had its turn. Only "
    "disconnect a tab while its writer waits for a send."
)
ONE_TAB = "A tab that reads is disconnected because another tab of its name doesn't. Disconnect that tab alone."
LEFT_STAYS = (
    "left is sent for a name that still has a tab. When you disconnect a tab, send left only if it was the last one of "
    "its name."
)
TOGETHER = (
    "Many members whose queues are full at the same message aren't all disconnected. Collect them in the loop over the "
    "members, close them after it, and notify the others in a loop: each notice may find further queues full."
)
SHARED = (
    "A tab is disconnected although fewer than 64 messages wait for it, when other tabs of its name or room read "
    "nothing either. Compare the limit with the queue of one tab, not with a sum over several."
)
REJOINS = (
    "A disconnected name can't rejoin while its old connection is still open. Remove the tab from the room when you "
    "close it."
)
REJOINS_ONCE = (
    "A name that was disconnected twice can't rejoin. Store nothing about a disconnect: the next tab of the name is a "
    "new one."
)
GROWS = (
    "The process stores messages that are never sent: in the queue of a disconnected tab, or in a list of all "
    "messages. Remove the tab from the room when its queue overflows, and store no messages."
)
DELETED = "DELETE of a member whose queue is full fails or waits. Only queue the close, and start the timer."
LEFT = (
    "The others get no left when a tab with a full queue ends. In finally of the endpoint, remove it from the room, "
    "and wait for no send."
)
PINGS_UNLIMITED = (
    "Pings are queued for a tab whose queue is full, without a limit. Let them go through the same function as the "
    "messages to the room."
)
TOO_SOON = (
    "The connection is aborted sooner than CLOSE_TIMEOUT (2 s here) after the tab is closed. Start the timer with the "
    "CLOSE_TIMEOUT of settings.py."
)
DELETE_ABORTS = (
    "DELETE aborts the connection or cancels its writer, and a full queue doesn't. Let DELETE close the tab with the "
    "same function: its code and reason behind the queued messages, and the timer."
)
NOT_OWN_TIMEOUT = (
    "The connection is aborted before its client had CLOSE_TIMEOUT seconds to read on: CLOSE_TIMEOUT is 20 here. Read "
    "it from settings.py, and start the timer with it."
)


def memory(subject: Subject) -> float:
    """Return the memory of the server's process, in MiB."""
    return psutil.Process(subject.server.pid).memory_info().rss / 2**20


class SlowConsumers:
    @check(2, "queues 64 messages for a tab that reads nothing, and disconnects it at the next")
    async def test_limit(self, subject: Subject) -> None:
        quiet = await subject.under(**QUIET)
        async with running(*(self._limits(quiet, kind) for kind in KINDS)) as judging:
            for each in judging:
                await each

    @staticmethod
    async def _limits(quiet: Subject, kind: str) -> None:
        """Check the limit for one kind of messages, and that the member gets what was queued."""
        async with backlog(quiet, kind) as linus:
            await linus.add(WAITING)
            await linus.stays()
            await linus.overflows()
            await linus.reads_on()
            await linus.says()

    @check(2, "disconnects a full tab alone, and keeps the other tabs of its name")
    async def test_one_tab(self, subject: Subject) -> None:
        quiet = await subject.under(**QUIET)
        members = Members(quiet)
        async with (
            a_room(quiet, "Ada") as (room, talk),
            members.tab(room, "Linus", tiny=True) as stuck,
            members.tab(room, "Grace", tiny=True) as one,
            members.tab(room, "Grace", tiny=True) as two,
            members.tab(room, "Grace") as reads,
        ):
            after = "Linus, and two of Grace's three tabs, read nothing; a large message has filled their connections"
            for tab in (stuck, one, two):
                tab.stop_reading()
            await talk.say(BLOCK, after=after)
            while "Linus" not in talk.left and talk.number < 3 * WAITING:
                # Message 1 is large, and the next one may still be with the writer.
                await talk.say("small", after=after, likely=BLOCKED_AT_LIMIT if talk.number > WAITING else BLOCKED)
            reads.did, reads.after = f"{talk.number} messages of Ada", after
            await messages_of(reads, talk.number, likely=Likely(ONE_TAB, wrong=FIRST_FULL))
            listed = await quiet.get_json(members.list_path(room), likely=LISTED)
            likely = LISTED if "Linus" in listed["names"] else ONE_TAB
            await members.are(room, "Ada", "Grace", after=after, likely=likely)
            for tab in (stuck, one, two):
                read_on(tab)
                tab.did, tab.after = "nothing; it was disconnected, and reads on", after
                came = await tab.is_closed(1013, likely=CODE, besides=anything)
                count = sum(isinstance(frame, str) and '"small"' in frame for frame in came)
                if count < WAITING:
                    got = f"{count} small messages and then close code 1013, on {tab.who}'s connection"
                    expect = f"at least {WAITING} small messages and then close code 1013: each tab has its own queue"
                    raise Failure(sent=tab.did, after=after, got=got, expect=expect, likely=SHARED)
            # A left of Grace, or a second one of Linus, arrives before this message.
            talk.left.discard("Linus")
            for text in ("one", "two"):
                await talk.say(text, after=f"{after}; now they read on, and were closed with 1013")
            if talk.left:
                got = f"left of {', '.join(talk.left)}"
                likely = LEFT_STAYS if reads.connection.close_code is None else ONE_TAB
                likely = likely if "Grace" in talk.left else TWICE
                raise Failure(after=after, got=got, expect="no left: Grace has a tab that reads", likely=likely)
            await messages_of(reads, 2, first=talk.number - 1, likely=ONE_TAB)

    @check(2, "lets a disconnected name rejoin, ignores its old tab, and sends a removed tab its queue")
    async def test_rejoins(self, subject: Subject) -> None:
        quiet = await subject.under(**QUIET)
        async with backlog(quiet) as old:
            await old.add(WAITING)
            await old.overflows()
            async with old.members.tab(old.room, "Linus", tiny=True) as tab:
                await old.members.enters(tab, "Ada", "Linus", likely=REJOINS)
                await old.ada.gets(joined("Linus"), likely=REJOINS)
                new = Backlog(quiet, old.room, old.ada, tab, "messages", old.number)
                await old.linus.send_burst({"type": "message", "text": "late"}, "late")
                await new.fill()
                await new.add(WAITING)
                await new.stays()
                await old.reads_on()
                await new.stays()
                await new.overflows()
                await new.reads_on()
                await new.says()
            async with old.members.tab(old.room, "Linus") as third:
                await old.members.enters(third, "Ada", "Linus", likely=REJOINS_ONCE)
        async with backlog(quiet) as linus:
            await linus.add(WAITING)
            await linus.members.remove(linus.room, "Linus", likely=DELETED)
            await linus.ada.gets(left("Linus"), likely=LEFT)
            did = "nothing; DELETE removed Linus, and his tab reads on"
            await linus.reads_on(1008, "removed", did=did, closed=DELETE_ABORTS)
            await linus.says()

    @check(2, "closes no tab that pauses with 64 queued messages, and sends all of them", pauses=True)
    async def test_pause(self, subject: Subject) -> None:
        quiet = await subject.under(**QUIET)
        await asyncio.gather(self._pauses(quiet), self._pauses_when_full(subject))

    @staticmethod
    async def _pauses(quiet: Subject) -> None:
        async with backlog(quiet, KINDS[-1]) as linus:
            await linus.add(WAITING)
            await pause(READS_ON_AFTER)
            await linus.gets_all()
            # And again, because 64 messages were queued before.
            await linus.fill(again=True)
            await linus.add(WAITING)
            await linus.stays()
            await linus.gets_all()
            await linus.says()

    @staticmethod
    async def _pauses_when_full(subject: Subject) -> None:
        for _ in range(3):
            async with backlog(subject) as linus:
                await linus.add(WAITING)
                start = time.monotonic()
                await linus.overflows()
                await pause(READS_ON_AFTER)
                try:
                    did = f"nothing; Linus was disconnected, and reads on after {READS_ON_AFTER:g} s"
                    return await linus.reads_on(did=did, closed=TOO_SOON)
                except Failure:
                    # A busy machine may be late, and then the connection is rightly aborted.
                    if time.monotonic() - start < CLOSE_TIMEOUT:
                        raise

    @check(2, "releases the connection of a tab that reads nothing, however it ends, and stays small")
    async def test_stuck(self, subject: Subject) -> None:
        async with subject.another(counting=True, **QUIET | {"CLOSE_TIMEOUT": CLOSING}) as own:
            before = await own.unfinished()
            ways = (self._ends(own, way) for way in WAYS)
            # First, because the others leave memory that the process reuses.
            await self._stays_small(own)
            await asyncio.gather(self._end_reading(own), *ways)
            path, counts = "/debug/sessions", {"sessions": 0, "rooms": 0}
            after = "tabs that read nothing ended, and the others left"
            expect = f"{show(counts)} within 1 s"
            await own.eventually(path, counts.__eq__, after=after, expect=expect, likely=LISTED)
            await own.eventually_idle(before, after=f"{after}: {', '.join(WAYS)}")

    @staticmethod
    async def _stays_small(own: Subject) -> None:
        """Check the memory while a disconnected member reads nothing, and the messages of others pass."""
        async with backlog(own) as linus:
            await linus.add(WAITING)
            least = most = memory(own)
            await linus.overflows()
            talk = Room(linus.ada)
            talk.number = linus.number
            after = "Linus reads nothing, and 65 messages came for him"
            for _ in range(PASSING * 2**20 // len(HUGE)):
                await talk.say(HUGE, after=after)
                most = max(most, memory(own))
            if most - least > GROWTH:
                got = f"the process grew by {most - least:.0f} MiB"
                expect = f"less than {GROWTH} MiB while {PASSING} MiB of messages pass"
                raise Failure(after=after, got=got, expect=expect, likely=GROWS)
            linus.number = talk.number
            await let_go(own, linus.linus, after=after, held=HELD_BRIEFLY)
            await linus.says()

    @staticmethod
    async def _end_reading(own: Subject) -> None:
        """Let tabs end that read, in each way."""
        members = Members(own)
        for end in ENDS:
            async with a_room(own, "Ada") as (room, talk), members.tab(room, "Linus") as linus:
                await talk.say("hello", after="Linus joined")
                await getattr(linus, end)()
                talk.ada.did = f"nothing; Linus sent {linus.did}"
                await talk.ada.gets(left("Linus"), likely=LEFT)

    @staticmethod
    async def _ends(own: Subject, way: str) -> None:
        """Let a tab with a full queue end in one way, and check that everything of it is released."""
        async with backlog(own) as linus:
            await linus.add(WAITING)
            is_full = way.startswith("disconnected")
            if is_full:
                await linus.overflows()
            elif way.startswith("DELETE"):
                await linus.members.remove(linus.room, "Linus", likely=DELETED)
            if way.endswith("RST"):
                await linus.linus.reset()
            elif way.endswith("FIN"):
                await linus.linus.finish()
            if not is_full:
                await linus.ada.gets(left("Linus"), likely=LEFT)
            after = f"64 messages are queued for Linus, who reads nothing; {way}"
            await let_go(own, linus.linus, after=after, held=HELD_BRIEFLY)
            await linus.says()

    @check(2, "delivers within 100 ms while a member reads nothing")
    async def test_nobody_waits(self, subject: Subject) -> None:
        longest = []
        after = "Linus stopped reading"
        # A busy machine may delay anything once, but not each time.
        for _ in range(6):
            async with (
                a_room(subject, "Ada", "Grace") as (room, talk),
                Members(subject, PING).tab(room, "Linus", tiny=True) as linus,
            ):
                linus.stop_reading()
                # When small messages follow, the system's buffers are full. Huge ones take time on a busy machine.
                waits = (await talk.fill("Linus", since=0, after=after))[FILLING:]
                waits.append(await talk.say("he is gone", after="Linus was disconnected"))
            longest.append(max(waits))
            if longest[-1] <= LONGEST_WAIT:
                return
        got = f"{1000 * min(longest):.0f} ms until Ada and Grace had a message"
        expect = f"{1000 * LONGEST_WAIT:.0f} ms at most"
        # Only the messages of the disconnect, or earlier ones too.
        likely = BLOCKED_AT_LIMIT.silence if max(waits[:-2], default=0.0) <= LONGEST_WAIT else STALLS
        raise Failure(after=after, got=got, expect=expect, likely=likely)

    @check(2, "disconnects no tab that reads, however large the burst")
    async def test_burst(self, subject: Subject) -> None:
        quiet = await subject.under(**QUIET)
        # In one room, so that a burst follows another one, and next to a member that's disconnected in the first one.
        async with backlog(quiet) as linus, linus.members.tab(linus.room, "Grace") as grace:
            ada, number = linus.ada, linus.number
            for tab in (ada, grace):
                await tab.next(expect="a notice, or the list", likely=BLOCKED)
            for count, size in ((400, 20), (1000, 20), (400, 2000)):
                ada.connection.transport.write(in_one_piece([f"{place}".ljust(size) for place in range(count)]))
                for tab in (ada, grace):
                    tab.did = f"{count} messages of {size} characters, in one write"
                    await messages_of(tab, count, first=number + 1, likely=BURST)
                number += count
            await ada.send_burst(*["bad"] * 300)
            for _ in range(300):
                await ada.gets_error(likely=BURST)
            notes = [{"type": "direct", "to": "Grace", "text": f"note {place}"} for place in range(300)]
            await ada.send_burst(*notes)
            for note in notes:
                await grace.gets({"type": "direct", "from": "Ada", "text": note["text"]}, likely=Likely(BURST))

    @check(2, f"disconnects {MANY} members that read nothing, and only those")
    async def test_many_stuck(self, subject: Subject) -> None:
        await self._disconnects(subject, MANY)

    @check(2, "disconnects 350 members that read nothing at the same message", hard=True)
    async def test_more_stuck(self, subject: Subject) -> None:
        await self._disconnects(subject, MORE)

    @staticmethod
    async def _disconnects(subject: Subject, count: int) -> None:
        """Check that many members that read nothing are disconnected, between two that read."""
        async with subject.another(**QUIET) as own, a_room(own, "Ada") as (room, talk):
            members = Members(own, PING)
            names = [f"stuck {number}" for number in range(count)]
            async with stuck_members(own, [members.path(room, name) for name in names]):
                # Grace joins last, and comes after them in the room.
                async with members.tab(room, "Grace") as grace:
                    both = Room(talk.ada, grace)
                    after = f"{count} members read nothing, and large messages have filled their connections"
                    while len(both.left) < count:
                        if both.number >= 4 * MOST:
                            got = f"left of {len(both.left)} members"
                            raise Failure(after=after, got=got, expect=f"left of all {count}", likely=TOGETHER)
                        # Three large messages fill all connections, and only a few are needed again.
                        text = FILLER if both.number % MOST < 3 else "small"
                        await both.say(text, after=after, likely=Likely(STALLS, wrong=TOGETHER, closed=STRICT))
                    await members.are(room, "Ada", "Grace", after=f"{count} members left", likely=TOGETHER)

    @check(2, "counts pings as queued messages", hard=True)
    async def test_pings(self, subject: Subject) -> None:
        for beat in (BEAT, LONG_BEAT):
            try:
                return await self._overflows_by_ping(subject, beat)
            except Failure:
                # On a busy machine, a member may seem silent, but not with long intervals.
                if beat == LONG_BEAT:
                    raise

    @staticmethod
    async def _overflows_by_ping(subject: Subject, beat: float) -> None:
        own = await subject.under(HEARTBEAT_INTERVAL=str(beat))
        async with (
            a_room(own, "Ada") as (room, talk),
            Members(own).tab(room, "Linus", tiny=True) as linus,
            running(answer_pings(talk.ada, beat), answer_pings(linus, beat)),
        ):
            linus.stop_reading()
            after = f"Linus reads nothing, and {WAITING} messages were sent to him; HEARTBEAT_INTERVAL={beat}"
            await talk.say(BLOCK, after=after)
            await talk.say(*[f"small {number}" for number in range(WAITING)], after=after)
            talk.ada.did, talk.ada.after, talk.ada.patience = "pongs", after, subject.patience + 3 * beat
            await talk.ada.gets(left("Linus"), likely=PINGS_UNLIMITED)
            read_on(linus)
            linus.did = "pongs; it was disconnected when a ping found 64 messages in its queue, and reads on"
            await linus.is_closed(1013, likely=replace(CODE, wrong=PINGS_UNLIMITED), besides=anything)

    @check(2, "waits for CLOSE_TIMEOUT, whatever it is, before it aborts a connection", pauses=True)
    async def test_close_timeout(self, subject: Subject) -> None:
        own = await subject.under(**QUIET)
        async with backlog(own) as linus:
            await linus.add(WAITING)
            await linus.overflows()
            await pause(LONG_PAUSE)
            did = f"nothing; Linus was disconnected, and reads on after {LONG_PAUSE:g} s; CLOSE_TIMEOUT=20"
            await linus.reads_on(did=did, closed=NOT_OWN_TIMEOUT)

    @check(2, "aborts a connection after two seconds by default", hard=True)
    async def test_default_timeout(self, subject: Subject) -> None:
        async with backlog(subject) as linus:
            await linus.add(WAITING)
            await linus.overflows()
            await let_go(
                subject, linus.linus, after="Linus reads nothing, and was disconnected; CLOSE_TIMEOUT isn't set"
            )

    @check(2, "sends a disconnected member that reads 1 MiB a second all queued messages, and 1013", hard=True)
    async def test_slow(self, subject: Subject) -> None:
        for attempt in range(3):
            try:
                return await self._sends_all_slowly(subject)
            except Failure:
                # On a busy machine, the member may read more slowly than that, but not each time.
                if attempt == 2:
                    raise

    @staticmethod
    async def _sends_all_slowly(subject: Subject) -> None:
        async with (
            a_room(subject, "Ada") as (room, talk),
            stuck_members(subject, [Members.path(room, "Linus")]) as (linus,),
        ):
            after = "Linus stopped reading, and was disconnected when 64 messages of 96 KiB waited"
            while "Linus" not in talk.left:
                if talk.number > DROPPED_BY:
                    raise Failure(after=after, got="no left", expect="left of Linus", likely=DROP)
                await talk.say(HEAVY, after=after)
            received = await read_slowly(linus, RATE, subject.patience + 1)
            texts = [frame.data for frame in received if frame.opcode == Opcode.TEXT]
            count = sum(b'"type":"message"' in text[:20].replace(b" ", b"") for text in texts)
            codes = [Close.parse(frame.data).code for frame in received if frame.opcode == Opcode.CLOSE]
            if codes != [1013] or count < WAITING:
                got = f"{count} messages and then " + (
                    f"close code {codes[0]}" if codes else "no close frame, code 1006"
                )
                sent = "a pong now and then; it reads on, 1 MiB a second"
                raise Failure(sent=sent, after=after, got=got, expect="the queue, then code 1013", likely=FIXED)
