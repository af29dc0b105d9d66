"""Step 07, TODO 2: slow consumers are disconnected, and don't delay other members."""

import asyncio
import contextlib

import psutil
from judge.clients import anything
from judge.members import PING, Members, left
from judge.messages import parsed, show
from judge.model import Failure, Likely, check
from judge.slow_readers import GIANT, LARGE, LONGEST_WAIT, in_one_piece, read_slowly, stuck_members
from judge.subject import Subject
from judge.tasks import spawn
from websockets.frames import Close, Opcode

from .room import CLOSING, DROP, DROPPED_BY, FEW, FILLING, HUGE, STALLS, WAITING, Room, a_room, let_go, messages_of

PASSING = 25
"""MiB of messages that are sent after a member was disconnected."""
GROWTH = 20
"""MiB by which the process may grow in that time."""
LISTED = "a dropped member stays on the list: take it off the room and tell the others at the moment of the drop"
CODE = "close with 1013 after what is on the way, and give the member half a second before the transport is aborted"
BURST = (
    "uvicorn hands the endpoint many frames before another task runs, so every queue fills: "
    "await asyncio.sleep(0) after each message"
)

LEAST, MOST = WAITING, WAITING + 4
"""Messages after which `left` of a stuck member may arrive. Its writer holds one message, and `left` may be sent before
the message that overflows the queue or after it."""
RATE = 1_048_576
"""Bytes per second that a slow member reads."""
MORE = 350
"""Members: so many that a function that calls itself for each of them exceeds the recursion limit."""
FIXED = (
    "The connection is aborted a fixed time after the disconnect, though its client still reads. Restart the timer "
    "whenever the writer could send a message."
)
FILLER = "x" * 262_144
MANY = 200
"""Members that read nothing, all in one room."""
TOO_FEW = (
    "The queue of a member holds fewer than 64 messages. Let 64 wait, not counting what the operating system and "
    "asyncio have taken, and disconnect it at the next."
)
TOO_MANY = (
    "The queue of a member holds more than 64 messages, or its limit counts something else. Check the number of queued "
    "messages before you queue one, and disconnect the member if it's 64."
)
FIRST_FULL = (
    "A message isn't queued for the tabs behind the first one that's full. Go through all of them, and close those "
    "that are full after the loop."
)
STRICT = (
    "Many notices are queued in one go, and a tab that reads is disconnected before its writer has had its turn. Only "
    "disconnect a tab while its writer waits for a send."
)
DIRECT = (
    "Direct messages to a member that reads nothing are queued without a limit. Let them go through the same function "
    "as the messages to the room."
)
ERRORS = (
    "Errors to a member that reads nothing are queued without a limit. Let them go through the same function as the "
    "messages to the room."
)
ONE_TAB = "A tab that reads is disconnected because another tab of its name doesn't. Disconnect that tab alone."
TOGETHER = (
    "Many members whose queues are full at the same message aren't all disconnected. Collect them in the loop over the "
    "members, close them after it, and notify the others in a loop: each notice may find further queues full."
)


def memory(subject: Subject) -> float:
    """Return the memory of the server's process, in MiB."""
    return psutil.Process(subject.server.pid).memory_info().rss / 2**20


class SlowConsumers:
    @check(2, "queues 64 messages for a tab that reads nothing, and disconnects it at the next")
    async def test_limit(self, subject: Subject) -> None:
        await self._limits_messages(subject)
        await self._limits(subject, "direct messages to Linus", DIRECT)
        await self._limits(subject, "bad messages from Linus", ERRORS)

    @staticmethod
    async def _limits_messages(subject: Subject) -> None:
        """Count the messages that are queued for a tab that reads nothing, next to one that reads."""
        members = Members(subject, PING)
        async with (
            a_room(subject, "Ada") as (room, talk),
            members.tab(room, "Linus", tiny=True) as stuck,
            members.tab(room, "Grace", tiny=True) as one,
            members.tab(room, "Grace") as reads,
        ):
            after = "Linus, and one of Grace's two tabs, read nothing, and a large message has filled their connections"
            for tab in (stuck, one):
                tab.stop_reading()
            await talk.say(GIANT, after=after)
            while "Linus" not in talk.left and talk.number < 3 * MOST:
                await talk.say("small", after=after)
            if not LEAST <= (queued := talk.number - 1) <= MOST:
                got = f"left after {queued} more messages"
                likely = TOO_FEW if queued < LEAST else TOO_MANY
                if "Linus" not in talk.left:
                    got, likely = f"no left after {queued} more messages", DROP
                raise Failure(after=after, got=got, expect=f"left of Linus after {WAITING} or so", likely=likely)
            reads.did, reads.after = f"{talk.number} messages of Ada", after
            await messages_of(reads, talk.number, likely=Likely(ONE_TAB, wrong=FIRST_FULL))
            listed = await subject.get_json(members.list_path(room), likely=LISTED)
            likely = LISTED if "Linus" in listed["names"] else ONE_TAB
            await members.are(room, "Ada", "Grace", after=after, likely=likely)

    @staticmethod
    async def _limits(subject: Subject, what: str, likely: str) -> None:
        """Check that a tab that reads nothing is disconnected, whatever is queued for it."""
        async with (
            a_room(subject, "Ada") as (room, talk),
            Members(subject, PING).tab(room, "Linus", tiny=True) as linus,
        ):
            linus.stop_reading()
            after = "Linus reads nothing, and a large message has filled the connection"
            await talk.say(GIANT, after=after)
            for _ in range(MOST):
                if likely == DIRECT:
                    await talk.ada.send({"type": "direct", "to": "Linus", "text": "small"})
                else:
                    await linus.send("bad")
            talk.ada.did, talk.ada.after = f"{MOST} {what}", after
            await talk.ada.gets(left("Linus"), likely=likely)

    @check(2, "drops a member that takes nothing, lets go of its socket, and stays small")
    async def test_stuck(self, subject: Subject) -> None:
        async with subject.another(counting=True, CLOSE_TIMEOUT=CLOSING) as own:
            members = Members(own)
            before = await own.unfinished()
            async with a_room(own, "Ada") as (room, talk), members.tab(room, "Linus", small_buffers=True) as linus:
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
            await own.eventually_idle(before, after="a member was dropped, and the others left")

    @check(2, "lets nobody wait for the one who takes nothing")
    async def test_nobody_waits(self, subject: Subject) -> None:
        longest = []
        # A busy machine may delay anything once, but not each time.
        for _ in range(3):
            async with (
                a_room(subject, "Ada", "Grace") as (room, talk),
                Members(subject, PING).tab(room, "Linus", small_buffers=True) as linus,
            ):
                linus.stop_reading()
                # When small messages follow, the system's buffers are full. Huge ones take time on a busy machine.
                waits = (await talk.fill("Linus", since=0, after="Linus stopped reading"))[FILLING:]
                waits.append(await talk.say("he is gone", after="Linus was dropped"))
            longest.append(max(waits))
            if longest[-1] <= LONGEST_WAIT:
                return
        got = f"{1000 * min(longest):.0f} ms until Ada and Grace had a message"
        expect = f"{1000 * LONGEST_WAIT:.0f} ms at most"
        raise Failure(after="Linus stopped reading", got=got, expect=expect, likely=STALLS)

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
                    await messages_of(tab, count, likely=BURST)

    @check(2, "disconnects 200 members that read nothing, and only those")
    async def test_many_stuck(self, subject: Subject) -> None:
        await self._disconnects(subject, MANY)

    @check(2, "disconnects 350 members that read nothing at the same message", hard=True)
    async def test_more_stuck(self, subject: Subject) -> None:
        await self._disconnects(subject, MORE)

    @staticmethod
    async def _disconnects(subject: Subject, count: int) -> None:
        """Check that many members that read nothing are disconnected, between two that read."""
        async with subject.another() as own, a_room(own, "Ada") as (room, talk):
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

    @check(2, "gives a disconnected member that reads 1 MiB a second all it was sent, and 1013", hard=True)
    async def test_slow(self, subject: Subject) -> None:
        async with (
            a_room(subject, "Ada") as (room, talk),
            stuck_members(subject, [Members.path(room, "Linus")]) as (linus,),
        ):
            after = "Linus stopped reading, and was disconnected when 64 messages of 64 KiB waited"
            while "Linus" not in talk.left:
                if talk.number > DROPPED_BY:
                    raise Failure(after=after, got="no left", expect="left of Linus", likely=DROP)
                await talk.say(LARGE, after=after)
            received = await read_slowly(linus, RATE, subject.patience + 1)
            texts = [frame.data for frame in received if frame.opcode == Opcode.TEXT]
            count = sum(b'"type":"message"' in text[:20].replace(b" ", b"") for text in texts)
            codes = [Close.parse(frame.data).code for frame in received if frame.opcode == Opcode.CLOSE]
            if codes != [1013] or count < WAITING:
                got = f"{count} messages and then " + (
                    f"close code {codes[0]}" if codes else "no close frame, code 1006"
                )
                sent = "a pong now and then; it reads on, 1 MiB a second"
                raise Failure(sent=sent, after=after, got=got, expect="what waited, then code 1013", likely=FIXED)

    @check(2, "gives a dropped member that reads again what was on the way, and 1013")
    async def test_reads_again(self, subject: Subject) -> None:
        async with a_room(subject, "Ada") as (room, talk), Members(subject, PING).tab(room, "Linus") as linus:
            linus.stop_reading()
            await talk.fill("Linus", since=0, after="Linus stopped reading")
            # Well within CLOSE_TIMEOUT, by default 2 s, so the connection isn't aborted yet.
            await asyncio.sleep(0.3)
            linus.read_again()
            linus.did = "nothing; it was dropped, and reads again 0.3 s later"
            came = await linus.is_closed(1013, likely=Likely(CODE, closed=CODE), besides=anything)
            values = [parsed(frame) if isinstance(frame, str) else frame for frame in came]
            ids = [value.get("id") for value in values if isinstance(value, dict) and value.get("type") == "message"]
            if not ids or ids != list(range(1, len(ids) + 1)):
                gap = next((number for number, pair in enumerate(ids, 1) if pair != number), 1)
                got = f"message {ids[gap - 1]} where message {gap} was due" if ids else "no message at all"
                likely = "messages are thrown away for a member that stays: drop the member, not its messages"
                expect = "messages 1, 2, 3, ... without a gap, then 1013"
                raise Failure(sent=linus.did, got=got, expect=expect, likely=likely)
            # It was disconnected at one of the last messages, or at the ones before if left arrived after those.
            if len(ids) < talk.number - 2 * len(FEW):
                got = f"the first {len(ids)} messages, when {talk.number} had been sent"
                likely = "what waits is thrown away with the writer: let it be sent, and the close after it"
                raise Failure(sent=linus.did, got=got, expect="everything that waited, then 1013", likely=likely)
