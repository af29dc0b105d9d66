"""Step 07, TODO 3: pings, and the disconnect of silent members."""

import asyncio
import contextlib
import itertools
import time
from typing import Any

from judge.clients import Client, closing
from judge.members import PING, Members, members_list, message
from judge.messages import parsed, show
from judge.model import Failure, Likely, check
from judge.subject import Subject
from judge.tasks import running, spawn, stop
from websockets.exceptions import ConnectionClosed

from .crowd import CROWD, crowd_is_pinged, read_pings
from .room import BEAT, IDS, LONG_BEAT, talk

EARLIEST = 2.9
"""Intervals after which a silent member may be closed, minus a tolerance for two clocks."""
ENOUGH = 3
"""Pings of a silent member that show that it isn't closed an interval too early."""
PINGS = (
    "No ping is sent in an interval. Start one task in lifespan that sleeps for HEARTBEAT_INTERVAL, and then sends "
    '{"type": "ping"} to every tab of every room, as long as the server runs.'
)
NAME_TWICE = (
    "A name that has several tabs gets each ping more than once. Loop over all tabs once, and send one ping to each."
)
TOO_MANY_PINGS = (
    "A tab gets more than one ping in an interval, or an interval is shorter than HEARTBEAT_INTERVAL. Let one task "
    "send the pings, and send one to each tab."
)
PONGED = "Something is sent for a pong. It only shows that the member lives, so send nothing."
ROOMS = (
    "Members of another room get no pings, or fewer. In each interval, loop over all rooms, and over all tabs of each."
)
NOTE = {
    "Ada": {"type": "direct", "from": "Ada", "text": "mark"},
    "Lin": {"type": "direct", "from": "Linus", "text": "mark"},
}
WHICH = ("the tab of Linus, in another room", "the second tab of Ada")
DECISIVE = (BEAT, BEAT, LONG_BEAT, 3 * LONG_BEAT)
"""Heartbeat intervals, in seconds, of the servers that are asked until one shows when silent members are closed."""
EACH_TAB = "Only one tab of a name gets the pings. Send them to every tab of every name."
LATE = {"pong": 0.7, "binary": 0.5}
"""When some silent members send their last message, as a fraction of an interval after a ping. The others send it right
after a ping."""
SECOND_ROOM = (
    "The pings stop when a room empties, as if the loop over the rooms had ended with an error. "
    "Closing a silent member can delete its room, so loop over list(self.rooms)."
)
TALKS = (
    "A tab that has just sent something gets no ping. Send the ping to every tab of every room, whatever its count of "
    "unanswered pings is."
)
SLEEPS = (
    "The heartbeat task sleeps longer than HEARTBEAT_INTERVAL. Sleep for it once in each round of the loop, and send a "
    "ping to every tab in each round."
)
SPARSELY = 3
"""How many times a member answers every second ping."""
SPEED = 20
"""Speed of the clock in loop/fast.py, as a multiple of real time."""
PHASES = (0.4, 0.55, 0.7)
"""When members that send nothing join, as fractions of an interval after a ping. One interval too few is then far below
three. There are several, because a busy machine may be late for one of them."""
EARLY = (
    "Your code closes a silent member one interval too early, or doesn't accept joining as a sign of life. "
    "Count the pings since the last sign of life from 0, and close at the ping after the third."
)
EARLY_AFTER = (
    "Your code closes a silent member one interval too early. Either the limit is lower than three pings, or a frame "
    "doesn't set the count to 0: subtract nothing from it, and don't set it to 1."
)
EARLY_BOTH = (
    "Your code closes a tab at the third ping after its last sign of life. Close it at the fourth one, when three "
    "pings, MAX_UNANSWERED_PINGS, are already unanswered."
)
EARLY_JOIN = (
    "The count of a new tab starts at 1, or its first ping counts twice. Set the count of unanswered pings to 0 when a "
    "tab joins."
)
EARLY_FRAME = "A frame sets the count of unanswered pings to 1, or subtracts from it. Set it to 0 with each event."
CLOSED_TOO = (
    "A tab that answered each ping is closed together with a silent one of its name. Close the silent tab alone."
)
LIFE = (
    "A member that answered each ping is disconnected. Reset its count of unanswered pings with every event that its "
    "endpoint receives."
)
PARSED_FIRST = "doesn't count as a sign of life in your code. Reset the count before you parse the frame."
LOOKED_FIRST = "doesn't count as a sign of life in your code. Reset the count before you look at the event."
NO_LIFE = {
    "message": f"A message {LOOKED_FIRST}",
    "pong": f"A pong {LOOKED_FIRST}",
    "direct": f"A direct message {LOOKED_FIRST}",
    "no JSON": f"A frame that isn't valid {PARSED_FIRST}",
    "binary": f"A binary frame {PARSED_FIRST}",
    "nothing": f"An empty frame {PARSED_FIRST}",
}
NO_PINGS = ", and 0 pings"
"""The end of a failure's "I got": the tab was closed before another ping."""
NEVER_CLOSED = (
    "No silent member is closed. Either nothing counts the unanswered pings, or protocol pongs reset the count: only "
    "events that the endpoint receives are signs of life."
)
OTHER_TAB = (
    "The silent tab of a member isn't closed, because another tab of its name, or another member, sends something. "
    "Count the unanswered pings of each tab, and reset the count of the tab whose endpoint received the event."
)
TOO_LATE = (
    "A silent member is closed later than four intervals after its last frame. Close it at the ping after the third "
    "one without an answer, and let nothing else reset the count."
)
WRONG_CODE = "The silent member is closed with another code. Close it with 4408, with the function for a full queue."
NOT_CLOSED_ALONE = (
    "The wrong members leave, or left is sent too rarely or twice. Remove each silent tab, once, and send left to the "
    "others when it was the last tab of its name."
)
SPARSE = (
    "A member that answers every second ping is disconnected: the unanswered pings add up. Set the count to 0 with "
    "each event, and don't subtract 1."
)
SILENT_LISTED = (
    "A silent member stays on the list until its connection ends. Remove it from the room, notify the others, and "
    "close the connection after that."
)


class Heartbeat:
    @check(3, "sends a ping every HEARTBEAT_INTERVAL seconds, and answers no pong")
    async def test_ping(self, subject: Subject) -> None:
        for beat in (BEAT, BEAT, LONG_BEAT):
            members = Members(await subject.under(HEARTBEAT_INTERVAL=str(beat)))
            try:
                return await self._are_pinged(members, members.room(), beat)
            except Failure as failure:
                # On a busy machine, a member may seem silent, but not with long intervals.
                if beat == LONG_BEAT or "4408" not in failure.got:
                    raise

    @check(3, f"sends pings to each of {CROWD} members of a room", hard=True)
    async def test_large_room(self, subject: Subject) -> None:
        await crowd_is_pinged(subject)

    @staticmethod
    async def _are_pinged(members: Members, room: str, beat: float) -> None:
        async with (
            members.tab(room, "Ada") as ada,
            members.tab(room, "Grace") as grace,
            members.tab(members.room(), "Linus") as talker,
            members.tab(room, "Ada") as two,
            running(talk(talker, beat, '{"type": "message", "text": "busy"}'), talk(two, beat)),
        ):
            await grace.send({"type": "message", "text": "here"})
            for tab in (ada, grace, two):
                tab.patience += beat
                # A ping may have arrived among the join events.
                while await tab.next_object(expect="message 1", likely=IDS) != message(1, "Grace", "here"):
                    pass
                tab.did = f"nothing yet; HEARTBEAT_INTERVAL={beat}"
            times: list[float] = []
            # A busy machine may be late once, but not each time.
            for _ in range(7):
                frame = await ada.next(expect=show(PING), likely=PINGS)
                if times and json_type(frame) in ("error", "pong"):
                    raise Failure(sent=ada.did, got=show(frame), expect="no answer to a pong", likely=PONGED)
                ada._unread.appendleft(frame)
                await ada.gets(PING, likely=Likely(PINGS, surplus=TOO_MANY_PINGS))
                times.append(time.perf_counter())
                await ada.send({"type": "pong"})
                await ada.send({"type": "pong", "more": [1]})
                while await grace.next_object(expect=show(PING), likely=PINGS) != PING:
                    pass  # Skip the error.
                await grace.send({"type": "pong"})
                await grace.send("no JSON")
                if times[2:] and abs(times[-1] - times[-3] - 2 * beat) < beat / 2:
                    break
            else:
                got = f"{times[-1] - times[-3]:.2f} s from one ping to the next but one"
                likely = TOO_MANY_PINGS
                if times[-1] - times[-3] > 3 * beat:
                    likely = await Heartbeat._why_rare(members, room, beat)
                raise Failure(after=f"HEARTBEAT_INTERVAL={beat}", got=got, expect=f"{2 * beat:.1f} s", likely=likely)
            after = f"Ada's first tab got {len(times)} pings; HEARTBEAT_INTERVAL={beat}"
            await Heartbeat._all_are_pinged(ada, two, talker, len(times), after)

    @staticmethod
    async def _why_rare(members: Members, room: str, beat: float) -> str:
        """Return why pings come too rarely: a tab that sends nothing may get them in time."""
        times: list[float] = []
        async with members.tab(room, "silent") as silent:
            silent.patience += 2 * beat
            while len(times) < 2:
                if await silent.next_object(expect=show(PING), likely=SLEEPS) == PING:
                    times.append(time.perf_counter())
        return TALKS if times[1] - times[0] < 1.5 * beat else SLEEPS

    @staticmethod
    async def _all_are_pinged(ada: Client, two: Client, talker: Client, count: int, after: str) -> None:
        """Check that other tabs got the same pings as the first one, which has read `count` of them."""
        await ada.send({"type": "direct", "to": "Ada", "text": "mark"})
        await talker.send({"type": "direct", "to": "Linus", "text": "mark"})
        counts = {}
        for tab in (ada, two, talker):
            tab.did, tab.after = "pongs, and a direct message to itself", after
            counts[tab] = count if tab is ada else 0
            while (value := await tab.next_object(expect="the direct message", likely=PINGS)) != NOTE[tab.who[:3]]:
                counts[tab] += value == PING
                if isinstance(value, dict) and value.get("type") in ("error", "pong"):
                    raise Failure(sent="a pong", after=after, got=show(value), expect="nothing", likely=PONGED)
        lacking = [tab for tab in (two, talker) if counts[tab] < count - 1]
        if lacking:
            likely = TALKS if len(lacking) == 2 else EACH_TAB if two in lacking else ROOMS
            got = f"{counts[lacking[0]]} pings on {WHICH[lacking[0] is two]}"
            if likely == TALKS:
                got += ", which sent pongs all the time"
            raise Failure(after=after, got=got, expect=f"{count} pings on every tab", likely=likely)
        for tab, number in counts.items():
            if number >= 2 * count:
                got = f"{number} pings on {'the first tab of Ada' if tab is ada else WHICH[tab is two]}"
                likely = NAME_TWICE if counts[talker] < 2 * count else TOO_MANY_PINGS
                raise Failure(after=after, got=got, expect=f"{count} pings on every tab", likely=likely)

    @check(3, "disconnects a member three to four intervals after its last frame, whatever the frame is")
    async def test_silence(self, subject: Subject) -> None:
        other_room = self._in_another_room(subject)
        async with running(self._after_a_sign(subject), self._after_joining(subject), other_room) as judging:
            try:
                await asyncio.gather(*judging)
            except Failure as failure:
                if failure.likely in (EARLY, EARLY_AFTER):
                    await asyncio.wait(judging[:2])
                    failure.likely = self._why_early(failure.likely, *(task.exception() for task in judging[:2]))
                raise

    @staticmethod
    def _why_early(likely: str, after_a_sign: BaseException | None, after_joining: BaseException | None) -> str:
        """Return why a silent member is closed too early, from what happened after a frame and after joining."""
        sign, join = (each.likely if isinstance(each, Failure) else each for each in (after_a_sign, after_joining))
        if sign == EARLY_AFTER:
            return EARLY_BOTH if join == EARLY else EARLY_FRAME if join is None else likely
        return EARLY_JOIN if join == EARLY and sign in (None, EARLY) else likely

    async def _after_joining(self, subject: Subject) -> None:
        """Check when members that only join are closed.

        A busy machine may be too late to distinguish three intervals from fewer. Long intervals then decide.
        """
        for beat in DECISIVE:
            if await self._saw_joiners_close(Members(await subject.under(HEARTBEAT_INTERVAL=str(beat))), beat):
                break

    async def _in_another_room(self, subject: Subject) -> None:
        """Check that the heartbeat continues after the last member of a room is closed."""
        members = Members(await subject.under(HEARTBEAT_INTERVAL=str(BEAT)))
        async with members.tab(members.room(), "Linus") as silent, members.tab(members.room(), "Ada") as ada:
            for tab in (silent, ada):
                await members_list(tab, "", likely="this is as in step 05")
            ended = spawn(silent.connection.wait_closed())
            try:
                ada.patience += BEAT
                rest = 2
                while rest:
                    if await ada.next_object(expect=show(PING), likely=LIFE) == PING:
                        await ada.send({"type": "pong"})
                        ada.did = "a pong after each ping"
                        # Expect two more pings after the other room is empty.
                        rest -= ended.done()
                        ada.after = "Linus, alone in another room, was closed as silent" if ended.done() else None
            except Failure as failure:
                # If this connection is closed as silent too, it has another cause.
                if ended.done() and ada.connection.close_code != 4408:
                    failure.likely = SECOND_ROOM
                raise
            finally:
                await stop(ended)

    async def _saw_joiners_close(self, members: Members, beat: float) -> bool:
        """Let members join in the middle of an interval, where one interval too few is far below three.

        Args:
            members: the members of the server.
            beat: the heartbeat interval of the server, in seconds.

        Returns:
            Whether one of them was certainly not closed an interval too early.

        Raises:
            Failure: one was closed too early, too late, or otherwise.
        """
        room = members.room()
        beats: list[float] = []
        pinged = asyncio.Event()
        async with contextlib.AsyncExitStack() as stack:
            watching = await stack.enter_async_context(members.tab(room, "watching"))

            async def join_only(phase: float) -> bool:
                name = f"joiner {phase}"
                # First a tab of the same name that leaves with unanswered pings: a new tab begins with none.
                with contextlib.suppress(Failure):
                    async with members.tab(room, name) as earlier:
                        await read_pings(earlier, 2, likely=PINGS)
                pinged.clear()
                try:
                    async with asyncio.timeout(2 * beat + members.subject.patience):
                        await pinged.wait()
                except TimeoutError:
                    return False
                await asyncio.sleep(phase * beat)
                last = time.perf_counter()
                tab = await stack.enter_async_context(members.tab(room, name))
                await members_list(tab, members.path(room, name), likely="this is as in step 05")
                # All pings that it gets were sent after it joined, so three of them are conclusive.
                return await self._closes(tab, last, beat) >= ENOUGH

            async with running(self._live(watching, beats, pinged, beat)), running(*map(join_only, PHASES)) as joining:
                return any(await asyncio.gather(*joining))

    async def _after_a_sign(self, subject: Subject) -> None:
        """Check when members that have sent a message are closed.

        A busy machine may be too late to distinguish three intervals from fewer. Long intervals then decide.
        """
        last, refused = None, False
        for beat in DECISIVE:
            members = Members(await subject.under(HEARTBEAT_INTERVAL=str(beat)))
            room = members.room()
            async with members.tab(room, "watching") as watching:
                try:
                    if await self._saw_silent_close(members, room, watching, beat):
                        return
                    last = None
                except Failure as failure:
                    # On a busy machine, the member that answers each ping may seem silent too, or a single message may
                    # be too late, but not each time. Messages that are too late in every try, which a close without a
                    # ping shows, and late answers to every second ping only count with long intervals.
                    unsure = watching.connection.close_code == 4408 or failure.got.endswith(NO_PINGS)
                    unsure = unsure or failure.likely == SPARSE
                    if refused and not unsure:
                        raise
                    last, refused = failure, refused or not unsure
        if last:
            raise last

    async def _saw_silent_close(self, members: Members, room: str, watching: Client, beat: float) -> bool:
        """Let members fall silent, next to one that answers each ping.

        Args:
            members: the members of the server.
            room: the name of the room.
            watching: the tab of the member that stays connected.
            beat: the heartbeat interval, in seconds.

        Returns:
            Whether one of them was certainly not closed an interval too early.

        Raises:
            Failure: one was closed too early, too late, or otherwise.
        """
        signs: dict[str, str | bytes | dict[str, Any]] = {
            "message": {"type": "message", "text": "hello"},
            "pong": {"type": "pong"},
            "direct": {"type": "direct", "to": "Nobody", "text": "hello"},
            "no JSON": "hello",
            "binary": b"\x00",
            "nothing": "",
        }
        late: list[str] = []
        early: list[Failure] = []
        beats: list[float] = []
        async with contextlib.AsyncExitStack() as stack:

            async def fall_silent(kind: str) -> bool:
                for is_last_try in (False, False, True):
                    tab = await stack.enter_async_context(members.tab(room, kind))
                    tab.patience += beat
                    # After the second ping, to show when the time starts. Right after it, so that one interval too many
                    # is nearly five.
                    await read_pings(tab, 2, likely=PINGS)
                    # Or later in the interval, so that one interval too few is little more than two.
                    if kind in LATE:
                        await asyncio.sleep(LATE[kind] * beat)
                    # Skip pings that have already arrived: they precede the message.
                    while await tab._look_ahead(0.001):
                        await tab._receive()
                    last, number = time.perf_counter(), len(beats)
                    await tab.send(signs[kind])
                    # On a busy machine, the message may arrive too late, but not each time. Then the member isn't in
                    # the list, or it's closed before another ping, which even an ignored message leaves time for.
                    listed = await members.subject.get_json(members.list_path(room), likely=LIFE)
                    in_time = len(beats) == number
                    if kind in listed["names"] or is_last_try:
                        pings, gap = await self._until_closed(tab, beat)
                        if pings or is_last_try or tab.connection.close_code != 4408:
                            break
                    late.append(kind)
                self._is_due(kind, tab, time.perf_counter() - last, pings, gap, beat, NEVER_CLOSED)
                # The server had the message before the pings that are counted, so three of them are conclusive.
                return kind in LATE and in_time and pings >= ENOUGH

            async def second_tab() -> bool:
                tab = await stack.enter_async_context(members.tab(room, "watching"))
                try:
                    await self._closes(tab, time.perf_counter(), beat, never=OTHER_TAB)
                except Failure as failure:
                    # First see whether those that sent something are closed too early as well.
                    if failure.likely != EARLY:
                        raise
                    early.append(failure)
                return False

            async def sparse() -> bool:
                # It answers every second ping, and leaves when the others have fallen silent.
                tab = await stack.enter_async_context(members.tab(room, "sparse"))
                tab.patience += beat
                for _ in range(SPARSELY):
                    await read_pings(tab, 2, likely=SPARSE)
                    await tab.send({"type": "pong"})
                    tab.did = f"a pong after every second ping; HEARTBEAT_INTERVAL={beat}"
                await tab.leave()
                return False

            living = spawn(self._live(watching, beats, asyncio.Event(), beat))
            try:
                async with running(*map(fall_silent, signs), second_tab(), sparse()) as silent:
                    conclusive = any(await asyncio.gather(*silent))
                if early:
                    raise early[0]
                if watching.connection.close_code is not None:
                    got = f"the tab that answered each ping closed, {closing(watching.connection)}"
                    expect = "the tab still open, and the second tab of its name, which is silent, closed with 4408"
                    raise Failure(sent="a pong for each ping", got=got, expect=expect, likely=CLOSED_TOO)
                await members.are(room, "watching", after="all others were closed with 4408", likely=SILENT_LISTED)
                await watching.send({"type": "message", "text": "alone"})
                gone = await living
            finally:
                living.cancel()
                await asyncio.gather(living, return_exceptions=True)
            names = [*signs, *late, "sparse"]
            if sorted(gone) != sorted(names):
                got = f"left of {', '.join(gone) or 'no member'}"
                after = "members fell silent or left, and a second tab of the name watching fell silent"
                expect = f"left of {', '.join(names)}, once each"
                raise Failure(after=after, got=got, expect=expect, likely=NOT_CLOSED_ALONE)
        return conclusive

    @staticmethod
    async def _live(tab: Client, beats: list[float], pinged: asyncio.Event, beat: float) -> list[str]:
        """Answer each ping until a message arrives.

        Args:
            tab: the tab of a member that stays connected.
            beats: the list to which the time of each ping is added, in seconds.
            pinged: the event that's set at each ping.
            beat: the heartbeat interval, in seconds.

        Returns:
            The names in the `left` events that this tab received.
        """
        gone: list[str] = []
        tab.patience += beat
        while True:
            match await tab.next_object(expect="no end: each ping was answered with a pong", likely=LIFE):
                case {"type": "ping"}:
                    beats.append(time.perf_counter())
                    pinged.set()
                    await tab.send({"type": "pong"})
                case {"type": "left", "name": name}:
                    gone.append(name)
                case {"type": "message", "text": "alone"}:
                    return gone

    async def _closes(self, tab: Client, last: float, beat: float, never: str = NEVER_CLOSED) -> int:
        """Read until a member that has only joined is closed, check the time of the close, and return its pings.

        Args:
            tab: the tab of the member.
            last: the time of the join, in seconds.
            beat: the heartbeat interval, in seconds.
            never: the cause, if it stays connected.

        Raises:
            Failure: the member is closed too early, too late or in another way, or stays connected.
        """
        pings, gap = await self._until_closed(tab, beat)
        self._is_due("", tab, time.perf_counter() - last, pings, gap, beat, never)
        return pings

    async def _until_closed(self, tab: Client, beat: float) -> tuple[int, float]:
        """Send only protocol pongs until a tab is closed, and return the result of `_pings`."""
        async with running(self._pong(tab, beat)):
            return await self._pings(tab, beat)

    @staticmethod
    async def _pong(tab: Client, beat: float) -> None:
        """Send protocol pongs, as every client does by itself, even if its program hangs."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                await tab.connection.pong()
                await asyncio.sleep(beat / 3)

    @staticmethod
    async def _pings(tab: Client, beat: float) -> tuple[int, float]:
        """Return the number of pings until the connection is closed, and the seconds from the last one to the close."""
        pings, last = 0, time.perf_counter()
        with contextlib.suppress(TimeoutError, ConnectionClosed):
            async with asyncio.timeout(6 * beat + tab.patience):
                while True:
                    if parsed(await tab.connection.recv()) == PING:
                        pings, last = pings + 1, time.perf_counter()
        return pings, time.perf_counter() - last

    @staticmethod
    def _is_due(kind: str, tab: Client, took: float, pings: int, gap: float, beat: float, never: str) -> None:
        """Check when a silent member was closed.

        Three pings arrive in three intervals. A fourth may arrive at the end of the fourth interval, together with the
        close. The clock decides only if the number of pings isn't conclusive, because a busy machine is late.
        """
        sent = f"{f'a last frame ({kind})' if kind else 'only the handshake'}; HEARTBEAT_INTERVAL={beat}"
        expect = f"close code 4408 between {3 * beat:.2f} and {4 * beat:.2f} s after it"
        if tab.connection.close_code is None:
            got, likely = f"the connection still open after {took:.2f} s", never
        elif tab.connection.close_code != 4408:
            got, likely = f"close code {tab.connection.close_code}", WRONG_CODE
        elif pings < 2 or (pings == 2 and took < EARLIEST * beat):
            # If the message isn't accepted as a heartbeat, there's time for one more ping.
            likely = EARLY if not kind else EARLY_AFTER if pings == 2 else NO_LIFE[kind]
            got = f"4408 after {took:.2f} s{NO_PINGS if not pings else f', and {pings} ping' + 's' * (pings > 1)}"
        elif took > 4.5 * beat and (pings > 4 or (pings == 4 and gap > beat / 2)):
            got, likely = f"4408 after {took:.2f} s, and {pings} pings", TOO_LATE
        else:
            return
        raise Failure(sent=sent, got=got, expect=expect, likely=likely)

    @check(3, "sends pings every 10 s by default, and disconnects a silent member after 30 to 40 s", hard=True)
    async def test_default(self, subject: Subject) -> None:
        for attempt in range(3):
            try:
                return await self._has_defaults(subject)
            except Failure:
                # A busy machine is late on a fast clock, but not each time.
                if attempt == 2:
                    raise

    async def _has_defaults(self, subject: Subject) -> None:
        # The clock of this server runs fast: 10 s take 0.5 s.
        async with subject.another(fast=True) as own:
            members = Members(own)
            room = members.room()
            beat = 10 / SPEED
            async with members.tab(room, "Ada") as ada, members.tab(room, "Linus") as linus:
                beats: list[float] = []
                async with running(self._live(ada, beats, asyncio.Event(), beat)):
                    await self._closes(linus, time.perf_counter(), beat)
                gaps = [later - earlier for earlier, later in itertools.pairwise(beats)]
                if not any(0.7 * beat < gap < 1.3 * beat for gap in gaps):
                    shown = ", ".join(f"{gap * SPEED:.0f} s" for gap in gaps) or "no pings"
                    raise Failure(
                        after="HEARTBEAT_INTERVAL isn't set",
                        got=f"{shown} from one ping to the next",
                        expect="10 s from one ping to the next",
                        likely="The interval isn't that of settings.py, whose default is 10. Import it from there.",
                    )


def json_type(frame: str | bytes) -> object:
    """Return the type in a message, or None."""
    value = parsed(frame) if isinstance(frame, str) else None
    return value.get("type") if isinstance(value, dict) else None
