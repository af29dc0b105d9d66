"""Step 08, TODO 1: a member that rejoins gets what it missed."""

import contextlib
import socket
from functools import partial
from typing import Any

from judge import pool
from judge.clients import Client
from judge.members import PING, Members, joined, left, message
from judge.messages import is_message, parsed, show
from judge.model import Failure, Likely, check
from judge.rejoining import (
    REPLAY,
    TWICE,
    alike,
    back,
    ends,
    numbers,
    quoted,
    refuses,
    replayed,
    replays,
    say,
    send_all,
    texts,
)
from judge.slow_readers import GIANT
from judge.subject import Subject
from judge.tasks import running

KEPT = 100
LIMIT = 64
ATOMIC = (
    "Your code waits between the replay and the entry into the room, so a message is lost, duplicated or out of order. "
    "Add the tab to the room, and queue the list and the replay in the same function, without an await in between."
)
INTERLEAVED = (
    "Your code has an await while it queues the replay, such as sleep() in the loop, so other events come in between. "
    "Queue the list and all replayed messages with one call of enqueue_replay(), in the function that adds the tab to "
    "the room, without an await."
)
EARLY = (
    "Your code reads the history before accept() has returned, and a message that's sent meanwhile is in neither the "
    "replay nor the queue. Read it after accept(), in the function that adds the tab to the room."
)
FOREIGN = (
    "The replay has one message too many. Either your code compares ids with >=, and replays a message that the tab "
    "has; or your history stores something else, such as a notice or a direct message. Queue only the messages to the "
    "room with a larger id than after."
)
NOTICES = (
    "Your change of join or leave loses a notice or a message of step 07. Keep what they send, and add the replay."
)
EACH = (
    "Only the first tab of a name gets a replay, or all its tabs get the same one. Call enqueue_replay() on the tab "
    "that joins, with the messages after its own after."
)
OTHERS = "Your code sends the replay of one tab also to other tabs. Call enqueue_replay() only on the tab that joins."
UNASKED = "Your code replays messages to a tab that has missed none. Without after, replay nothing: 0 isn't None."
LATE = "Your code refuses the id of the last message. Refuse an after only if it's larger than the last id."
EMPTIED = "Your history of a room ends with its last member. Keep the histories in a dict of the manager."
SHARED = "Your rooms share one history, or its limit. Give each room its own history, in a dict by its unchanged name."
SIZE = "Your history doesn't keep exactly the last 100 messages of a room. Use one deque(maxlen=HISTORY_SIZE) a room."
NO_GAP = "Your replay has no gap before the oldest message that's kept. Put one there if it isn't message after + 1."
COUNT = "Your gap has another number. Between after and the first message that you have, first - after - 1 are missing."
COUNTED = (
    "Replayed messages count against the limit of 64, so your server disconnects the tab. Queue the list and the "
    "replay with tab.enqueue_replay(). If you've changed tab.py, let try_put() subtract replay_left from the length of "
    "the queue."
)
RAISED = (
    "A tab that has read its whole replay has a higher limit than 64 afterwards. Count down what's left of the replay "
    "each time the writer sends an event."
)
UNLIMITED = (
    "After a replay, your code never disconnects a slow tab. Queue the list and the replay with one call of "
    "enqueue_replay(), and everything else with try_put(). If you've changed tab.py, set replay_left to the number of "
    "queued replayed events, and subtract 1 for each that's sent."
)
BAD_AFTER = (
    *(
        "x",
        "-1",
        "-2",
        "--1",
        "1-",
        "1.5",
        "",
        " ",
        "nan",
        "inf",
        "1e0",
        "0x1",
        "1,0",
        "1 2",
        "one",
        "true",
        "None",
        "null",
    ),
    *("[1]", '"1"', "3", "4", "99999999999999999999", "9" * 5000),
)
"""Values of after that a room with the last id 2 refuses."""
NO_INTEGER = "Your code accepts an after that isn't an integer from 0 on. Declare it as int, with Query(ge=0)."
NO_MESSAGES = "Your code rejects after=0 for a room without messages. Its last id is 0, so 0 is an id of the room."
UNASSIGNED = "Your code accepts an id that the room hasn't assigned. Compare after with the last id of this room."


class Replay:
    @check(1, "replays the missed messages, and nothing without after")
    async def test_replay(self, subject: Subject) -> None:
        room, other = Members.room("lobby 한글"), Members.room("lab")
        async with back(subject, room, "Ada") as ada, back(subject, other, "Ada") as elsewhere:
            said = [*numbers(1, 3), "", "다섯 <b>"]
            await say(ada, *said[:2])
            # Neither of these is a message to the room: they use no id, and aren't replayed.
            await ada.send({"type": "direct", "to": "Ada", "text": "to herself"})
            await ada.gets({"type": "direct", "from": "Ada", "text": "to herself"}, likely="")
            await ends(ada, likely=FOREIGN)
            async with back(subject, room, "Linus") as linus:
                await ada.gets(joined("Linus"), likely=NOTICES)
                await linus.send({"type": "message", "text": said[2]})
                await ada.gets(message(3, "Linus", said[2]), likely=NOTICES)
            await ada.gets(left("Linus"), likely=NOTICES)
            await say(ada, *said[3:], first=4)
            await say(elsewhere, "elsewhere")
            for after in (2, 0, 4):
                async with back(subject, room, "Grace", after=after) as grace:
                    grace.did = f"a handshake with after={after}, when the last id is 5"
                    senders = ["Ada", "Ada", "Linus", "Ada", "Ada"]
                    wanted = [message(each, senders[each - 1], said[each - 1]) for each in range(after + 1, 6)]
                    await replays(grace, wanted, likely=Likely(REPLAY, wrong=REPLAY, surplus=FOREIGN, replayed=REPLAY))
                    async with (
                        back(subject, room, "Grace", after=4) as second,
                        back(subject, room, "Grace") as third,
                    ):
                        second.did = second.earlier = "a second tab of Grace, with after=4, when the last id is 5"
                        await second.gets(message(5, "Ada", said[4]), likely=replayed(EACH))
                        third.did = "a third tab of Grace, without after, when the last id is 5"
                        await ends(third, likely=UNASKED)
                        await ends(second, likely=OTHERS)
                        grace.did = "further tabs of Grace, with after=4 and without after"
                        await ends(grace, likely=OTHERS)
                await self._notices(ada, "Grace")
            for query in ({}, {"after": 5}):
                async with back(subject, room, "Grace", likely=LATE, **query) as grace:
                    which = f"with after={query['after']}" if query else "without after"
                    grace.did = f"a handshake {which}, when the last id is 5"
                    await ends(grace, likely=UNASKED)
                await self._notices(ada, "Grace")
        async with back(subject, Members.room("empty"), "Ada", after=0, likely=NO_MESSAGES) as ada:
            ada.did = "a handshake with after=0 for a room without messages"
            await ends(ada, likely=SHARED)

    @staticmethod
    async def _notices(tab: Client, name: str) -> None:
        for notice in (joined(name), left(name)):
            await tab.gets(notice, likely=Likely(NOTICES, surplus=OTHERS, replayed=OTHERS, wrong=OTHERS))

    @check(1, "refuses an after that isn't an id of the room")
    async def test_refused(self, subject: Subject) -> None:
        room, empty, busy = Members.room(), Members.room("empty"), Members.room("busy")
        async with back(subject, room, "Ada") as ada, back(subject, busy, "Ada") as elsewhere:
            await say(elsewhere, *numbers(1, 5))
            await say(ada, *numbers(1, 2))
            for after in BAD_AFTER:
                likely = UNASSIGNED if after.isdigit() else NO_INTEGER
                await refuses(subject, room, after, "its last id is 2", likely)
            await refuses(subject, room, 3, "its last id is 2, and Ada is in it", UNASSIGNED, name="Ada")
            await refuses(subject, empty, 1, "it has no messages", SHARED)
            ada.did = ada.earlier = f"{len(BAD_AFTER) + 1} refused handshakes of Grace and Ada"
            announced = "A refused client joins or leaves the room. Raise HTTPException before the tab is in the room."
            await ends(ada, likely=announced)
            members = Members(subject)
            await members.are(room, "Ada", after="refused handshakes", likely=announced)
            await members.eventually_empty(empty, after="a refused handshake for it", likely=announced)
            await say(ada, "text 3", first=3)
            cached = "Your code compares after with an old last id. Read the last id of the history for each handshake."
            async with back(subject, room, "Grace", after=3, likely=cached):
                await refuses(subject, room, 4, "its last id is 3", cached)

    @check(1, "sends a gap for messages before the last 100, and keeps those for an empty room")
    async def test_gap(self, subject: Subject) -> None:
        room, quiet, busy = Members.room(), Members.room("quiet"), Members.room("busy")
        async with back(subject, quiet, "Ada") as ada:
            await say(ada, *numbers(1, 3))
        # Two senders: the limit is for the room, not for each name.
        async with back(subject, room, "Linus") as linus, back(subject, room, "Ada") as ada:
            await say(ada, *numbers(1, 60))
            await linus.send_burst(*({"type": "message", "text": text} for text in numbers(61, 130)))
            for number in range(61, 131):
                await ada.gets(message(number, "Linus", f"text {number}"), likely=REPLAY)
            await self._gap(subject, room, 29, "130 messages were sent, and two members are in the room", SIZE)
        await Members(subject).eventually_empty(
            room, after="the last member left", likely="Your code doesn't remove the last tab of a room in leave."
        )
        happened = "130 messages were sent, and all members left"
        await self._gap(subject, room, 10, happened, EMPTIED)
        async with back(subject, busy, "Ada") as ada:
            await say(ada, *numbers(1, KEPT + 10))
        async with back(subject, quiet, "Grace", after=0) as grace:
            grace.did = "a handshake with after=0 for a room with 3 messages, after 110 messages in another room"
            for number in range(1, 4):
                await grace.gets(message(number, "Ada", f"text {number}"), likely=replayed(SHARED))
        for after in (30, 129):
            await self._gap(subject, room, after, happened, SIZE)
        async with back(subject, room, "Grace") as grace:
            again = "The ids of a room start again when it was empty. Keep its last id in the history, not in the room."
            await say(grace, "next", first=131, who="Grace", likely=Likely(again, keys={"id": again}))

    @staticmethod
    async def _gap(subject: Subject, room: str, after: int, happened: str, likely: str) -> None:
        missed = max(130 - KEPT - after, 0)
        async with back(subject, room, "Grace", after=after, likely=EMPTIED, after_this=happened) as grace:
            grace.did = grace.earlier = f"a handshake with after={after}; {happened}"
            silent = Likely(likely, surplus=likely, replayed=likely, wrong=likely)
            if missed:
                gap = {"type": "gap", "missed": missed}
                frame = await grace.next(expect=show(gap), likely=silent)
                if not is_message(frame, gap):
                    raise await Replay._other_gap(grace, frame, gap, after, likely)
            for number in range(after + missed + 1, 131):
                await grace.gets(message(number, "Ada" if number <= 60 else "Linus", f"text {number}"), likely=silent)
            await ends(grace, likely=TWICE)

    @staticmethod
    async def _other_gap(grace: Client, frame: str | bytes, gap: dict[str, Any], after: int, likely: str) -> Failure:
        """Explain another message than the gap: if the next id fits its number, the history has another size."""
        value, got = parsed(frame), show(frame)
        if isinstance(value, dict) and value.get("type") == "gap":
            following = await grace.receives_any()
            got += f", and then {'nothing' if following is None else show(following)}"
            first = parsed(following or "")
            fits = isinstance(first, dict) and first.get("id") == after + 1 + int(value.get("missed") or 0)
            likely = SIZE if fits else COUNT
        elif isinstance(value, dict) and value.get("id") != 131 - KEPT:
            likely = SIZE
        else:
            likely = NO_GAP
        return Failure(sent=grace.did, got=got, expect=show(gap), likely=likely)

    @check(1, "replays every text unchanged, and keeps similar rooms apart")
    async def test_values(self, subject: Subject) -> None:
        room = pool.rooms()["characters of URLs"]
        async with back(subject, room, "Ada") as ada:
            said = texts(long=False)
            await say(ada, *said.values())
        # Its sender rejoins: a member has missed its own messages too.
        async with back(subject, room, "Ada", after=0) as grace:
            for number, (kind, text) in enumerate(said.items(), 1):
                grace.did = f"a handshake with after=0, when the last id is {len(said)}; message {number} is {kind}"
                await grace.gets(message(number, "Ada", text), likely=replayed(REPLAY))
        for kind, each in pool.rooms().items():
            async with back(subject, each, "Ada", after=0, likely=SHARED) as ada:
                await say(ada, kind, likely=Likely(SHARED, surplus=SHARED, replayed=SHARED, keys={"id": SHARED}))
            for name in alike(kind, each):
                likely = f"Your code treats the room {quoted(name)} as {quoted(each)}. Use the room's name unchanged."
                await refuses(subject, name, 1, f"only {quoted(each)} has a message", likely)

    @check(1, "replays more than 64 messages to a slow reader, and counts only the new ones")
    async def test_late_reader(self, subject: Subject) -> None:
        room = Members.room()
        giant = GIANT[: len(GIANT) // 3]
        async with back(subject, room, "Ada") as ada:
            # The first message fills the buffers of a tab that doesn't read, so the others wait in its queue.
            await say(ada, giant, *numbers(2, KEPT))
            async with contextlib.AsyncExitStack() as stack:
                for name in ("Linus", "Grace"):
                    grace = await stack.enter_async_context(back(subject, room, name, tiny=True, after=0))
                    grace.stop_reading()
                for name in ("Linus", "Grace"):
                    await ada.gets(joined(name), likely=Likely(NOTICES, surplus=COUNTED))
                # With the notice that Grace has joined, 64 new messages are queued for Linus.
                new = LIMIT - 1
                await say(ada, *numbers(KEPT + 1, KEPT + new), first=KEPT + 1, likely=COUNTED)
                grace.read_again()
                # A larger buffer, because the rest would take many small packets.
                grace.connection.transport.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20
                )
                grace.did = (
                    f"Grace's handshake with after=0, {KEPT} messages to replay, {new} new ones, and then it read"
                )
                grace.earlier = grace.did
                order = Likely(COUNTED, wrong=ATOMIC, surplus=INTERLEAVED, replayed=ATOMIC, keys={"id": ATOMIC})
                first = await grace.next_object(expect="the list of members", likely=order)
                if first != {"type": "members", "names": ["Ada", "Grace", "Linus"]}:
                    expect = "the list of Ada, Grace and Linus first"
                    raise Failure(after=grace.did, got=show(first), expect=expect, likely=ATOMIC)
                for number in range(1, KEPT + new + 1):
                    await grace.gets(message(number, "Ada", giant if number == 1 else f"text {number}"), likely=order)
                await ends(grace, likely=TWICE)
                await self._drops(ada, "Linus", KEPT + new + 1)
        await self._counts_after_a_replay(subject)

    async def _counts_after_a_replay(self, subject: Subject) -> None:
        """Check the limit for a tab that has read its replay."""
        room = Members.room()
        async with back(subject, room, "Ada") as ada, contextlib.AsyncExitStack() as stack:
            await say(ada, *numbers(1, KEPT))
            grace = await stack.enter_async_context(back(subject, room, "Grace", tiny=True, after=0))
            last = message(KEPT, "Ada", f"text {KEPT}")
            while await grace.next_object(expect=show(last), likely=TWICE) != last:
                pass
            await ada.gets(joined("Grace"), likely=NOTICES)
            grace.stop_reading()
            # Several, because the system buffers more for a client that has read something.
            await say(ada, *[GIANT] * 4, first=KEPT + 1)
            await say(ada, *numbers(KEPT + 5, KEPT + LIMIT), first=KEPT + 5, likely=COUNTED)
            await self._drops(ada, "Grace", KEPT + LIMIT + 1, likely=RAISED)

    @staticmethod
    async def _drops(ada: Client, name: str, first: int, likely: str = "") -> None:
        """Check that a tab with 64 queued messages is disconnected at the next ones."""
        more = numbers(first, first + 3)
        await send_all(ada, [{"type": "message", "text": text} for text in more])
        ada.did = f"{len(more)} messages of Ada, when a tab of {name} reads nothing and has 64 new messages queued"
        for _ in range(len(more) + 1):
            expect = f"{show(left(name))} next to the messages"
            value = await ada.next_object(expect=expect, likely=likely or UNLIMITED)
            if value == left(name):
                return
        got = f"{len(more)} messages, and {show(value)}"
        raise Failure(sent=ada.did, got=got, expect=expect, likely=likely or UNLIMITED)

    @check(1, "loses and duplicates nothing for a member that joins under load")
    async def test_under_load(self, subject: Subject) -> None:
        room = Members.room()
        before, total = 10, 90
        async with back(subject, room, "Ada") as ada, contextlib.AsyncExitStack() as stack:
            later: list[Client] = []
            await say(ada, *numbers(1, before))
            texts = numbers(before + 1, total)
            for number in range(0, total - before, 20):
                paths = [Members.path(room, f"Grace {number} {each}", after="0") for each in range(3)]
                some = [{"type": "message", "text": text} for text in texts[number : number + 20]]
                # Both orders: the messages reach the server before the handshakes, or after them.
                order = "first" if number % 40 else "meanwhile"
                later += await subject.simultaneous_clients(*paths, **{order: partial(send_all, ada, some)})
            for tab in later:
                tab.ignored = PING
                stack.push_async_callback(tab.end)
            expect = f"the list, messages 1 to {before}, and then the new ones up to {total}: each once, in order"
            for tab in later:
                tab.did = f"a handshake with after=0, {before} messages to replay, while Ada sent {total - before} more"
                got: list[int] = []
                place = 0
                while len(got) < total:
                    value = await tab.next_object(expect=expect, likely=ATOMIC)
                    kind = value.get("type") if isinstance(value, dict) else None
                    if kind == "message":
                        got.append(value.get("id"))
                    wrong = got[-1:] not in ([], [len(got)]) or (place == 0) != (kind == "members")
                    # The first ten messages are in the replay of each of these tabs: nothing comes between.
                    if wrong or (0 < len(got) < before and kind != "message"):
                        awaited = (
                            "the list" if place == 0 else f"message {len(got) if kind == 'message' else len(got) + 1}"
                        )
                        # Part of the replay has arrived: something comes in between.
                        inside = 0 < len(got) - (kind == "message") < before
                        shown = f"{show(value)} instead of {awaited}"
                        raise Failure(after=tab.did, got=shown, expect=expect, likely=INTERLEAVED if inside else ATOMIC)
                    place += 1

    @check(1, "includes a message that is sent while a handshake is answered")
    async def test_during_accept(self, subject: Subject) -> None:
        room = Members.room()
        own = await subject.probe("accept_probe")
        async with back(own, room, "Ada") as ada, contextlib.AsyncExitStack() as stack:
            await say(ada, *numbers(1, 2))
            coming = stack.enter_async_context(back(own, room, "Grace", after=1, headers={"X-Hold": "1"}))
            async with running(coming) as (opening,):
                happened = "Grace's handshake with after=1, when the last id is 2"
                await own.eventually("/held", lambda count: count == 1, after=happened, expect="1", likely="")
                await say(ada, "text 3", first=3, likely=Likely("", surplus=""))
                await own.get("/release", likely="")
                grace = await opening
                grace.did = f"{happened}; Ada sent message 3 while the server was in accept()"
                for number in (2, 3):
                    await grace.gets(message(number, "Ada", f"text {number}"), likely=replayed(EARLY, wrong=EARLY))
                await ada.gets(joined("Grace"), likely=NOTICES)
                await say(ada, "text 4", first=4)
                await grace.gets(message(4, "Ada", "text 4"), likely=replayed(EARLY))
