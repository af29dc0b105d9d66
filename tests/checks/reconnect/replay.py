"""Step 08, TODO 1: a member that rejoins gets what it missed."""

import contextlib
from functools import partial
from urllib.parse import quote

from judge.clients import Client
from judge.members import PING, Members, message
from judge.messages import show
from judge.model import Failure, check
from judge.rejoining import REPLAY, back, numbers, replayed, say, send_all
from judge.subject import Subject

KEPT = 100
ATOMIC = "between the replay and the first new message something waits: join and replay without an await in between"


class Replay:
    @check(1, "replays the missed messages, and nothing without after")
    async def test_replay(self, subject: Subject) -> None:
        room, other = Members.room("lobby 한글"), Members.room("lab")
        async with back(subject, room, "Ada") as ada, back(subject, other, "Ada") as elsewhere:
            await say(ada, *numbers(1, 3), "", "다섯 <b>")
            await say(elsewhere, "elsewhere")
            texts = [*numbers(1, 3), "", "다섯 <b>"]
            for after in (2, 0, 4):
                async with back(subject, room, "Grace", after=after) as grace:
                    # Provoke an error: it arrives after the replay, so it marks the end.
                    await grace.send("no JSON")
                    grace.earlier = f"a handshake with after={after}, when 5 messages are there"
                    grace.did = f"{grace.earlier}, and then the text no JSON"
                    for number in range(after + 1, 6):
                        await grace.gets(message(number, "Ada", texts[number - 1]), likely=replayed(REPLAY))
                    await grace.gets_error(likely=replayed("something comes after the replay, or twice"))
                    async with back(subject, room, "Grace", after=4) as second:
                        second.did = second.earlier = "a second tab of Grace, with after=4, when 5 messages are there"
                        each = "Only the first tab of a name gets a replay. Replay to each tab, from its own after."
                        await second.gets(message(5, "Ada", texts[4]), likely=replayed(each))
                await self._hears_of(ada, "Grace")
            for query in ({}, {"after": 5}):
                last = "after= the id of the last message is right, and replays nothing"
                async with back(subject, room, "Grace", likely=last, **query) as grace:
                    await grace.send("no JSON")
                    which = f"with after={query['after']}" if query else "without after"
                    grace.earlier = f"a handshake {which}, when 5 messages are there"
                    grace.did = f"{grace.earlier}, and then the text no JSON"
                    nothing = "without after, or with the id of the last message, nothing is replayed"
                    await grace.gets_error(likely=replayed(nothing))
                await self._hears_of(ada, "Grace")
        async with back(subject, Members.room("empty"), "Ada", after=0) as ada:
            await ada.send("no JSON")
            ada.earlier = "a handshake with after=0 for a room without messages"
            await ada.gets_error(likely=replayed("in a room where nothing was said, after=0 replays nothing"))

    @staticmethod
    async def _hears_of(tab: Client, name: str) -> None:
        for kind in ("joined", "left"):
            await tab.gets({"type": kind, "name": name}, likely="joined and left are told as before, and not replayed")

    @check(1, "refuses an after that isn't an id of the room")
    async def test_refused(self, subject: Subject) -> None:
        room, empty = Members.room(), Members.room("empty")
        async with back(subject, room, "Ada") as ada:
            await say(ada, *numbers(1, 2))
            tries = [
                (room, each) for each in ("x", "-1", "1.5", "", "nan", "1e0", "3", "99999999999999999999", "9" * 5000)
            ]
            for where, after in [*tries, (empty, "1")]:
                path = f"/ws/{where}?name=Grace&after={quote(after)}"
                answer = await subject.handshake(path)
                if answer != 403:
                    if not isinstance(answer, int):
                        await answer.close()
                    raise Failure(
                        sent=f"a handshake with after={after[:30]}, when the last id is {2 if where == room else 0}",
                        got=f"HTTP {answer}" if isinstance(answer, int) else "the socket accepted",
                        expect="HTTP 403",
                        likely="after is a whole number from 0 to the last id of the room; refuse it before accept",
                    )
            await ada.send("no JSON")
            await ada.gets_error(likely=replayed("a refused visitor is announced to the room"))

    @check(1, "sends a gap for messages before the last 100, and keeps those for an empty room")
    async def test_gap(self, subject: Subject) -> None:
        room = Members.room()
        likely = 'the last 100 are kept; {"type": "gap", "missed": n} says how many between after and them are lost'
        async with back(subject, room, "Ada") as ada:
            await say(ada, *numbers(1, 130))
        empty = "Your history of a room ends with its last member. Keep the histories in a dict of the manager."
        await Members(subject).eventually_empty(
            room, after="the last member left", likely="a room stays without members"
        )
        for after in (10, 29, 30, 31, 0):
            missed = max(130 - KEPT - after, 0)
            left = "130 messages were sent, and all members left"
            async with back(subject, room, "Grace", after=after, likely=empty, after_this=left) as grace:
                grace.did = f"a handshake with after={after}; {left}"
                grace.earlier = grace.did
                if missed:
                    gap = {"type": "gap", "missed": missed}
                    await grace.gets(gap, likely=replayed(empty, wrong=likely, keys={"missed": likely}))
                cause = replayed(likely if missed else empty)
                for number in range(after + missed + 1, 131):
                    await grace.gets(message(number, "Ada", f"text {number}"), likely=cause)
                await grace.send("no JSON")
                await grace.gets_error(likely=replayed(likely))
        async with back(subject, room, "Grace") as grace:
            await say(grace, "next", first=131, who="Grace", likely="ids begin anew when the room was empty")

    @check(1, "replays more than 64 messages to a slow reader, and loses and duplicates nothing")
    async def test_late_reader(self, subject: Subject) -> None:
        room = Members.room()
        large = "x" * 65_536
        async with back(subject, room, "Ada") as ada:
            await say(ada, *(f"{number} {large}" for number in range(1, KEPT + 1)))
            async with back(subject, room, "Grace", small_buffers=True, after=0) as grace:
                grace.stop_reading()
                await ada.gets(
                    {"type": "joined", "name": "Grace"}, likely="joined is told when the member is on the list"
                )
                counted = "the replay counts as waiting, and the member is dropped"
                await say(ada, *numbers(KEPT + 1, KEPT + 30), first=KEPT + 1, likely=counted)
                grace.read_again()
                grace.did = "a handshake with after=0, 100 messages of 64 KiB to replay, 30 new ones, and then it read"
                likely = f"{counted}; or {ATOMIC}"
                grace.earlier = grace.did
                list_first = await grace.next_object(expect="the list of members", likely=likely)
                if list_first != {"type": "members", "names": ["Ada", "Grace"]}:
                    raise Failure(after=grace.did, got=show(list_first), expect="the list first", likely=likely)
                for number in range(1, KEPT + 31):
                    text = f"{number} {large}" if number <= KEPT else f"text {number}"
                    await grace.gets(message(number, "Ada", text), likely=replayed(likely))
                await grace.send("no JSON")
                await grace.gets_error(likely=replayed(likely))

    @check(1, "loses and duplicates nothing for a member that joins under load")
    async def test_under_load(self, subject: Subject) -> None:
        room = Members.room()
        total = 80
        async with back(subject, room, "Ada") as ada, contextlib.AsyncExitStack() as stack:
            later: list[Client] = []
            texts = numbers(1, total)
            for number in range(0, total, 20):
                paths = [Members.path(room, f"Grace {number} {each}", after="0") for each in range(3)]
                some = [{"type": "message", "text": text} for text in texts[number : number + 20]]
                later += await subject.simultaneous_clients(*paths, meanwhile=partial(send_all, ada, some))
            for tab in later:
                tab.ignored = PING
                stack.push_async_callback(tab.end)
            for tab in later:
                got: list[int] = []
                tab.did = "a handshake with after=0, while Ada was sending 80 messages"
                while len(got) < total:
                    value = await tab.next_object(expect="messages 1 to 80, each once, in order", likely=ATOMIC)
                    if isinstance(value, dict) and value.get("type") == "message":
                        got.append(value.get("id"))
                        if got[-1] != len(got):
                            raise Failure(
                                after=tab.did,
                                got=f"message {got[-1]} as number {len(got)}",
                                expect="messages 1 to 80, each once, in order",
                                likely=ATOMIC,
                            )
