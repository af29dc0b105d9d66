"""Step 08: the checks of the exercise."""

import asyncio
import contextlib
import random
import tempfile
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from judge.clients import Client, show
from judge.members import BAD, PING, Members, message
from judge.model import Failure, check
from judge.rejoining import REPLAY, ack, back, say
from judge.stage import Stage, Visit, stage
from judge.subject import Subject
from judge.tasks import running, spawn

KEPT = 100
SLOW = 1.0
"""Seconds that a try may come later than the client meant it."""
KILLS = 10
"""How often the last check ends the server."""
LONGEST_KILLS = 12.0
"""Seconds after which a slow machine has seen enough of them."""
ACCURACY = 0.001
"""Seconds by which what a client asks its loop for may differ from the delay that it means."""
ATOMIC = "between the replay and the first new message something waits: join and replay without an await in between"
ONCE = "the key of a sender in a room stands for one message: look it up before anything else"
WRITTEN = (
    "a message is passed on or acknowledged before it is in the file: write it first, and do not leave it in a buffer"
)


def numbers(start: int, stop: int) -> list[str]:
    """Texts for messages."""
    return [f"text {number}" for number in range(start, stop + 1)]


class Talk:
    """One client of the answer that says one thing after another.

    Args:
        play: the stage of the client.
        client: its number.
    """

    def __init__(self, play: Stage, client: int) -> None:
        self.play = play
        self.client = client
        self.ids: dict[str, int] = {}
        """What it said, with the ids."""
        self.items: list[Any] = []
        """What it was handed meanwhile."""
        self.enough = False
        self._acknowledged = asyncio.Event()

    async def go_on(self) -> None:
        """Talk until that is enough.

        Raises:
            Failure: a message is not acknowledged.
        """
        likely = "every send() ends with an id at last, whatever becomes of the server meanwhile"
        number = 0
        while not self.enough:
            number += 1
            text = f"{self.client}: {number}"
            await self.play.do("send", self.client, text=text)
            while text not in self.ids:
                expect = f"the acknowledgement of {text!r}"
                event = await self.play.next(self.client, expect=expect, likely=likely)
                if event["event"] == "item":
                    self.items.append(event["item"])
                elif event["event"] == "sent" and event["text"] == text:
                    self.ids[text] = event["id"]
                else:
                    raise Failure(got=show(event), expect=expect, likely=likely)
            self._acknowledged.set()
            await asyncio.sleep(0.015)

    async def said_more(self, talking: "asyncio.Future[Any]") -> None:
        """Wait until one more message is acknowledged.

        Args:
            talking: ends with an error if that is not going to be.
        """
        self._acknowledged.clear()
        async with running(self._acknowledged.wait()) as one_more:
            await asyncio.wait([*one_more, talking], return_when=asyncio.FIRST_COMPLETED)
        if talking.done():
            talking.result()


class TestExercise:
    @check(1, "replays what was missed, and nothing without after")
    async def test_replay(self, subject: Subject) -> None:
        room, other = Members.room("lobby 한글"), Members.room("lab")
        async with back(subject, room, "Ada") as ada, back(subject, other, "Ada") as elsewhere:
            await say(ada, *numbers(1, 3), "", "다섯 <b>")
            await say(elsewhere, "elsewhere")
            texts = [*numbers(1, 3), "", "다섯 <b>"]
            for after in (2, 0, 4):
                async with back(subject, room, "Grace", after=after) as grace:
                    # Its answer comes after the replay, and shows the end of it.
                    await grace.send("no JSON")
                    grace.did = f"a handshake with after={after}, when 5 messages are there, and then the text no JSON"
                    for number in range(after + 1, 6):
                        await grace.gets(message(number, "Ada", texts[number - 1]), likely=REPLAY)
                    await grace.gets_error(likely="something comes after the replay, or twice")
                await self._hears_of(ada, "Grace")
            for query in ({}, {"after": 5}):
                last = "after= the id of the last message is right, and replays nothing"
                async with back(subject, room, "Grace", likely=last, **query) as grace:
                    await grace.send("no JSON")
                    await grace.gets_error(
                        likely="without after, or with the id of the last message, nothing is replayed"
                    )
                await self._hears_of(ada, "Grace")
        async with back(subject, Members.room("empty"), "Ada", after=0) as ada:
            await ada.send("no JSON")
            await ada.gets_error(likely="in a room where nothing was said, after=0 replays nothing")

    @staticmethod
    async def _hears_of(tab: Client, name: str) -> None:
        for kind in ("joined", "left"):
            await tab.gets({"type": kind, "name": name}, likely="joined and left are told as before, and not replayed")

    @check(1, "refuses what is no id of the room")
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
            await ada.gets_error(likely="a refused visitor is announced to the room")

    @check(1, "says how many are lost when the last 100 do not hold them, and keeps them for an empty room")
    async def test_gap(self, subject: Subject) -> None:
        room = Members.room()
        likely = 'the last 100 are kept; {"type": "gap", "missed": n} says how many between after and them are lost'
        likely += "; and the history of a room does not end with its last member"
        async with back(subject, room, "Ada") as ada:
            await say(ada, *numbers(1, 130))
        empty = "history ends with the last member: keep it apart from the members of the room"
        await Members(subject).come_to_nothing(
            room, after="the last member left", likely="a room stays without members"
        )
        for after in (10, 29, 30, 31, 0):
            missed = max(130 - KEPT - after, 0)
            async with back(subject, room, "Grace", after=after) as grace:
                grace.did = f"a handshake with after={after}; 130 messages were sent, and everybody had left"
                if missed:
                    await grace.gets({"type": "gap", "missed": missed}, likely=likely)
                for number in range(after + missed + 1, 131):
                    await grace.gets(message(number, "Ada", f"text {number}"), likely=likely if missed else empty)
                await say(grace, likely=empty)
                await grace.send("no JSON")
                await grace.gets_error(likely=likely)
        async with back(subject, room, "Grace") as grace:
            await say(grace, "next", first=131, who="Grace", likely="ids begin anew when the room was empty")

    @check(1, "replays more than 64 to one that reads late, and loses and doubles nothing meanwhile")
    async def test_late_reader(self, subject: Subject) -> None:
        room = Members.room()
        large = "x" * 65_536
        async with back(subject, room, "Ada") as ada:
            await say(ada, *(f"{number} {large}" for number in range(1, KEPT + 1)))
            async with back(subject, room, "Grace", narrow=True, after=0) as grace:
                grace.stop_reading()
                await ada.gets(
                    {"type": "joined", "name": "Grace"}, likely="joined is told when the member is on the list"
                )
                counted = "the replay counts as waiting, and the member is dropped"
                await say(ada, *numbers(KEPT + 1, KEPT + 30), first=KEPT + 1, likely=counted)
                grace.read_again()
                grace.did = "a handshake with after=0, 100 messages of 64 KiB to replay, 30 new ones, and then it read"
                likely = f"{counted}; or {ATOMIC}"
                list_first = await grace.next_object(expect="the list of members", likely=likely)
                if list_first != {"type": "members", "names": ["Ada", "Grace"]}:
                    raise Failure(after=grace.did, got=show(list_first), expect="the list first", likely=likely)
                for number in range(1, KEPT + 31):
                    text = f"{number} {large}" if number <= KEPT else f"text {number}"
                    await grace.gets(message(number, "Ada", text), likely=likely)
                await grace.send("no JSON")
                await grace.gets_error(likely=likely)

    @check(1, "loses and doubles nothing to who joins under load")
    async def test_under_load(self, subject: Subject) -> None:
        room = Members.room()
        total = 80
        async with back(subject, room, "Ada") as ada, contextlib.AsyncExitStack() as stack:
            later: list[Client] = []
            texts = numbers(1, total)
            for number in range(0, total, 20):
                paths = [Members.path(room, f"Grace {number} {each}", after="0") for each in range(3)]
                some = [{"type": "message", "text": text} for text in texts[number : number + 20]]
                later += await subject.clients_at_once(*paths, meanwhile=partial(self._send_all, ada, some))
            for tab in later:
                tab.overhears = PING
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

    @check(2, "acknowledges a message that has a key, and no other")
    async def test_ack(self, subject: Subject) -> None:
        room = Members.room()
        async with (
            back(subject, room, "Grace") as grace,
            back(subject, room, "Ada") as other,
            back(subject, room, "Ada") as ada,
        ):
            await grace.gets({"type": "joined", "name": "Ada"}, likely=REPLAY)
            for number, key in enumerate(("k", "K" * 64, "열쇠", "a b"), 1):
                await ada.send({"type": "message", "text": f"text {number}", "key": key})
                await self._both(ada, message(number, "Ada", f"text {number}"), ack(key, number))
                for tab in (grace, other):
                    tab.did = "a message of Ada with a key"
                    likely = "the ack goes to the socket that sent the message, and the key to nobody else"
                    await tab.gets(message(number, "Ada", f"text {number}"), likely=likely)
            await say(ada, "no key", first=5, likely="a message without a key gets no acknowledgement")
            bad = [{"key": ""}, {"key": "k" * 65}, {"key": 1}, {"key": ["k"]}, {"key": {}}]
            for frame in [*({"type": "message", "text": "x"} | each for each in bad), *BAD]:
                await ada.send(frame)
                await ada.gets_error(
                    likely="a key is a text of 1 to 64 characters; what is bad gets an error and no id"
                )
            await say(ada, "still here", first=6)
            for number, text in ((5, "no key"), (6, "still here")):
                for tab in (grace, other):
                    await tab.gets(message(number, "Ada", text), likely="an ack or an error goes to others too")

    @staticmethod
    async def _both(tab: Client, *wanted: dict[str, Any], likely: str = "") -> None:
        """The next frames are these, in any order."""
        expect = " and ".join(map(show, wanted))
        likely = likely or "the sender gets its message like everybody, and besides that one ack with key and id"
        got = [await tab.next_object(expect=expect, likely=likely) for _ in wanted]
        if sorted(map(show, got)) != sorted(map(show, wanted)):
            raise Failure(sent=tab.did, got=" and ".join(map(show, got)), expect=expect, likely=likely)

    @check(2, "passes a message on once, however often its key comes")
    async def test_once(self, subject: Subject) -> None:
        room, lab = Members.room(), Members.room("lab")
        async with back(subject, room, "Grace") as grace:
            async with back(subject, room, "Ada") as ada:
                await ada.send({"type": "message", "text": "hello", "key": "k"})
                await self._both(ada, message(1, "Ada", "hello"), ack("k", 1))
                for text in ("hello", "another text"):
                    await ada.send({"type": "message", "text": text, "key": "k"})
                    await ada.gets(ack("k", 1), likely=ONCE)
            async with back(subject, room, "Ada") as again, back(subject, lab, "Ada") as elsewhere:
                await again.send({"type": "message", "text": "hello", "key": "k"})
                again.did = "the same key again, on a new connection"
                await again.gets(ack("k", 1), likely=ONCE)
                await elsewhere.send({"type": "message", "text": "here", "key": "k"})
                elsewhere.did = "the same key in another room"
                rooms = f"{ONCE}; and look for room, sender and key together"
                await self._both(elsewhere, message(1, "Ada", "here"), ack("k", 1), likely=rooms)
                await grace.send({"type": "message", "text": "mine", "key": "k"})
                told = [{"type": "joined", "name": "Ada"}, message(1, "Ada", "hello"), {"type": "left", "name": "Ada"}]
                told += [{"type": "joined", "name": "Ada"}]
                for value in told:
                    grace.did = "two messages of Ada with the same key, and a third from a new connection"
                    await grace.gets(value, likely=ONCE)
                grace.did = "the same key from another sender"
                await self._both(grace, message(2, "Grace", "mine"), ack("k", 2))
                await again.gets(message(2, "Grace", "mine"), likely="a key of one sender is none of another one's")

    @check(2, "knows the last 1000 keys of a room")
    async def test_many_keys(self, subject: Subject) -> None:
        room = Members.room()
        many = 1005
        async with back(subject, room, "Ada") as ada:
            sending = spawn(
                self._send_all(ada, [{"type": "message", "text": "", "key": f"k{number}"} for number in range(many)])
            )
            acks: dict[str, int] = {}
            while len(acks) < many:
                value = await ada.next_object(expect=f"{many} acknowledgements", likely="each key gets one")
                if isinstance(value, dict) and value.get("type") == "ack":
                    acks[value.get("key")] = value.get("id")
            await sending
            for number in (many - 1000, many - 999, many // 2, many - 1):
                await ada.send({"type": "message", "text": "", "key": f"k{number}"})
                ada.did = f"key number {number + 1} of {many} again"
                await ada.gets(
                    ack(f"k{number}", number + 1), likely="keys are forgotten too soon, such as with the last 100"
                )

    @staticmethod
    async def _send_all(tab: Client, frames: list[dict[str, Any]]) -> None:
        for frame in frames:
            await tab.send(frame)

    @check(3, "goes on after a kill: ids, the last 100, and keys")
    async def test_journal(self, subject: Subject) -> None:
        room, lab = Members.room("lobby 한글"), Members.room("lab")
        likely = "a message is not in JOURNAL when it is heard, or what is there is not read: ids, messages and keys"
        with tempfile.TemporaryDirectory() as folder:
            journal = str(Path(folder) / "journal")
            async with subject.another(JOURNAL=journal) as own:
                async with back(own, room, "Ada") as ada, back(own, lab, "Grace") as grace:
                    await ada.send({"type": "message", "text": "text 1", "key": "old"})
                    await self._both(ada, message(1, "Ada", "text 1"), ack("old", 1))
                    await say(ada, *numbers(2, 118), "줄\n끝  <b>", first=2)
                    await ada.send({"type": "message", "text": "last", "key": "k"})
                    await self._both(ada, message(120, "Ada", "last"), ack("k", 120))
                    await say(grace, "here", who="Grace")
                    own.server.kill()
            # A new Python, so that nothing in the file may depend on what hash() gives for strings.
            async with subject.another(JOURNAL=journal, cold=True) as own:
                async with (
                    back(own, room, "Grace", after=10, likely=likely) as grace,
                    back(own, lab, "Ada", after=0) as ada,
                ):
                    grace.did = "120 messages, kill -9, a start on the same file, and a handshake with after=10"
                    await grace.gets({"type": "gap", "missed": 10}, likely=likely)
                    for number in range(21, 119):
                        await grace.gets(message(number, "Ada", f"text {number}"), likely=likely)
                    await grace.gets(message(119, "Ada", "줄\n끝  <b>"), likely=likely)
                    await grace.gets(message(120, "Ada", "last"), likely=likely)
                    await ada.gets(message(1, "Grace", "here"), likely=likely)
                    async with back(own, room, "Ada") as again:
                        await again.send({"type": "message", "text": "last", "key": "k"})
                        again.did = "the key of a message before the kill"
                        await again.gets(ack("k", 120), likely=likely)
                        await again.send({"type": "message", "text": "text 1", "key": "old"})
                        again.did = "the key of the first of 120 messages before the kill"
                        await again.gets(ack("old", 1), likely=f"{likely}, the last 1000")
                        await say(again, "next", first=121, likely=likely)

    @check(3, "has a message in the journal before anybody hears of it")
    async def test_written_first(self, subject: Subject) -> None:
        room = Members.room()
        with tempfile.TemporaryDirectory() as folder:
            journal = str(Path(folder) / "journal")
            known = 0
            for turn in range(3):
                async with subject.another(JOURNAL=journal) as own:
                    if turn:
                        answer = await own.handshake(Members.path(room, "Grace", after=str(known)))
                        if isinstance(answer, int):
                            raise Failure(
                                after=f"message {known} was heard, and the server was killed at once and started again",
                                got=f"HTTP {answer} for after={known}",
                                expect=f"message {known} is known",
                                likely=WRITTEN,
                            )
                        await answer.close()
                    async with back(own, room, "Ada") as ada:
                        await ada.send({"type": "message", "text": "x", "key": f"k{turn}"})
                        ada.did = "a message with a key"
                        first = await ada.next_object(expect="the message, or its acknowledgement", likely=WRITTEN)
                        own.server.kill()
                        if isinstance(first, dict) and isinstance(first.get("id"), int):
                            known = first["id"]

    @check(4, "asks for what it missed, sends again what is not acknowledged, and hands nothing on twice")
    async def test_client(self, subject: Subject) -> None:
        async with stage(subject) as play:
            await play.begin(after=7, base=0.05, cap=0.1)
            visit = await self._visits(play, after="7")
            play.did = "the server sent messages 8 and 9, a gap and a ping"
            items = [message(8, "Grace", "eight"), message(9, "Ada", "nine"), {"type": "gap", "missed": 2}]
            await visit.send({"type": "members", "names": ["Ada"]}, *items[:2], {"type": "joined", "name": "Grace"})
            for item in items[:2]:
                await play.does(
                    "item", item=item, likely="message and gap objects are handed on as they came, each once"
                )
            # Somebody has taken both when they come again; the check below is of one who asks late.
            await visit.send(items[1], items[0], {"type": "ping"})
            pong = await play.says(visit, likely="a ping is answered with a pong")
            if pong != {"type": "pong"}:
                likely = 'a {"type": "ping"} of the server is answered with {"type": "pong"}'
                raise Failure(after=play.did, got=show(pong), expect='{"type": "pong"}', likely=likely)
            # Three sends: one is acknowledged, the connection is lost, the others come again, in order.
            for text in ("one", "두", "three"):
                await play.do("send", text=text)
            sent = [await self._message(play, visit, text) for text in ("one", "두", "three")]
            await visit.send(ack(sent[0], 10))
            twice = (
                "what was handed on before is handed on again, or send() does not give the id of its acknowledgement"
            )
            await play.does("sent", text="one", id=10, likely=twice)
            visit.drop()
            play.did = "three messages were sent, one was acknowledged, and the connection was lost"
            visit = await self._visits(play, after="9")
            again = [await self._message(play, visit, text) for text in ("두", "three")]
            if again != sent[1:]:
                likely = "a message that is sent again keeps its key: otherwise the server takes it for a new one"
                raise Failure(after=play.did, got=f"keys {again}", expect=f"keys {sent[1:]}", likely=likely)
            await visit.send(message(10, "Ada", "one"), message(11, "Ada", "두"), ack(sent[1], 11), items[2])
            for item in (message(10, "Ada", "one"), message(11, "Ada", "두")):
                await play.does("item", item=item, likely="what comes after a reconnect is handed on")
                if item["id"] == 11:
                    break
            await self._any_order(
                play, ("sent", {"text": "두", "id": 11}), ("item", {"item": items[2]}), likely="a gap is handed on too"
            )
            # Sent while there is no connection, so it comes after what is waiting.
            await visit.close(1012)
            play.did = "a close with 1012, a text was sent meanwhile, and three is not acknowledged"
            await play.do("send", text="four")
            visit = await play.visit(likely="1012 is no reason to stop")
            await visit.accept()
            await self._message(play, visit, "three")
            key = await self._message(play, visit, "four")
            await visit.send(ack(sent[2], 12), ack(key, 13), ack("nobody's", 14))
            await play.does("sent", text="three", id=12, likely="each send() gets the id of its own key")
            await play.does("sent", text="four", id=13, likely="each send() gets the id of its own key")
            if len({*sent, key}) != 4:
                raise Failure(got=f"keys {[*sent, key]}", expect="a key of its own for each message", likely=ONCE)

    async def _visits(self, play: Stage, *, after: str) -> Visit:
        visit = await play.visit(likely="the client connects, and again when the connection was lost")
        if visit.query != {"name": ["Ada"], "after": [after]}:
            raise Failure(
                after=play.did,
                got=f"a handshake with {visit.query}",
                expect=f"name=Ada and after={after}, the last id handed on",
                likely="each connect asks for after= the last id, and leaves the rest of the address as it is",
            )
        await visit.accept()
        return visit

    @staticmethod
    async def _message(play: Stage, visit: Visit, text: str) -> str:
        likely = "what is not acknowledged is sent on each connection, in the order of the calls, with a key"
        while (got := await play.says(visit, likely=likely)) == {"type": "pong"}:
            pass
        key = got.get("key") if isinstance(got, dict) else None
        if (
            not isinstance(key, str)
            or not 1 <= len(key) <= 64
            or got.get("text") != text
            or got.get("type") != "message"
        ):
            expect = show({"type": "message", "text": text, "key": "..."})
            raise Failure(after=play.did, got=show(got), expect=expect, likely=likely)
        return key

    @staticmethod
    async def _any_order(play: Stage, *wanted: tuple[str, dict[str, Any]], likely: str) -> None:
        expected = [{"event": event, "client": 0, **more} for event, more in wanted]
        got = [await play.next(expect=show(expected), likely=likely) for _ in wanted]
        if sorted(map(show, got)) != sorted(map(show, expected)):
            raise Failure(after=play.did, got=show(got), expect=show(expected), likely=likely)

    @check(4, "hands on each message once, also to one who asks late")
    async def test_late(self, subject: Subject) -> None:
        likely = "what is in the inbox must not be asked for again, or be left out when it comes; a stop loses nothing"
        async with stage(subject) as play:
            await play.begin(read=False, base=0.02, cap=0.05)
            for _ in range(3):
                visit = await play.visit(likely="the client connects, and again when the connection was lost")
                await visit.accept()
                after = int(visit.query.get("after", ["0"])[0])
                await visit.send(*(message(number, "Grace", f"text {number}") for number in range(after + 1, 4)))
                await visit.send({"type": "ping"})
                # When this is answered, what came before has been taken.
                await play.says(visit, likely="a ping is answered with a pong")
                visit.drop()
            visit = await play.visit(likely="the client connects again")
            await visit.accept()
            await visit.close(1008)
            # When this has failed, the client has stopped.
            await play.do("send", text="too late")
            await play.does("failed", text="too late", likely="1008 is final: let each send() raise ConnectionError")
            await play.do("read")
            play.did = (
                "three connections brought messages 1 to 3, then one was closed with 1008, and then somebody read"
            )
            for number in (1, 2, 3):
                await play.does("item", item=message(number, "Grace", f"text {number}"), likely=likely)
            await play.does("over", stopped=1008, likely=likely)

    @check(4, "leaves no task behind, and tells whoever waits")
    async def test_ends(self, subject: Subject) -> None:
        likely = "at the end of async with: end every task and await it, and let each send() raise ConnectionError"
        async with stage(subject) as play:
            # Connected, between two tries, and before an answer to the handshake.
            for number in range(3):
                await play.begin(number, base=5 if number == 1 else 0.05)
                visit = await play.visit(likely="the client connects")
                if number == 0:
                    await visit.accept()
                elif number == 1:
                    visit.refuse(503)
                await play.do("send", number, text="hello")
                if number == 0:
                    await play.says(visit, likely="a message is sent on the connection")
                play.did = "the client was ended, while a send() waits for its acknowledgement"
                await play.do("end", number)
                got = [await play.next(number, expect="failed, over, ended", likely=likely) for _ in range(3)]
                events = sorted(event["event"] for event in got)
                ended = next((event for event in got if event["event"] == "ended"), {})
                if events != ["ended", "failed", "over"] or ended.get("left") or ended.get("waiting"):
                    raise Failure(
                        after=play.did,
                        got=f"{', '.join(events)}; unfinished: {ended.get('left') or 'nothing'}",
                        expect="send() raises ConnectionError, the iteration ends, nothing is unfinished",
                        likely=likely,
                    )
                await play.do("send", number, text="too late")
                late = "send() after the end raises ConnectionError"
                await play.does("failed", number, text="too late", likely=late)

    @check(5, "waits longer and longer, at random, until something has come")
    async def test_delays(self, subject: Subject) -> None:
        base, cap = 0.03, 0.24
        async with stage(subject) as play:
            await play.begin(base=base, cap=cap)
            visits = [await play.visit(likely="the client connects")]
            at_cap: list[float] = []
            for number in range(10):
                before = visits[-1]
                # Refused, lost, closed, accepted and then lost: none of these is a reason to begin anew.
                if number == 1:
                    await before.accept()
                    await before.send({"type": "members", "names": ["Ada"]}, {"type": "ping"})
                    before.drop()
                elif number == 2:
                    await before.accept()
                    await before.close(1013)
                elif number == 3:
                    before.vanish()
                else:
                    before.refuse(503)
                ended = asyncio.get_running_loop().time()
                play.did = f"{number + 1} tries that ended without a message"
                every = "it tries again: after 5xx, a close, a loss, and when the server dies in the handshake"
                visits.append(await play.visit(likely=every))
                longest = min(cap, base * 2**number)
                asked = await self._waits(play, ended, visits[-1], longest, delays=(base / 2, cap))
                if longest == cap:
                    at_cap += asked
            different = {round(each, 4) for each in at_cap}
            if 0 < len(different) < 4:
                likely = "the delay is random between half and the whole, so that not all clients come back together"
                got = f"seven waits of {', '.join(f'{each} s' for each in sorted(different))}"
                raise Failure(after=play.did, got=got, expect="waits that differ", likely=likely)

    @staticmethod
    async def _waits(
        play: Stage, ended: float, visit: Visit, longest: float, *, delays: tuple[float, float], slow: float = SLOW
    ) -> list[float]:
        """Judge the delay before a try.

        What the client asked its loop for is exact. The clock, which a busy machine makes late, decides only about a
        client that waits in another way.

        Args:
            play: the stage of the client.
            ended: when the try before ended, by the clock.
            visit: the try.
            longest: seconds of the longest delay that is right here.
            delays: the shortest and the longest of all delays, in seconds. One timer in between is the delay.
            slow: seconds that a try may come later, by the clock.

        Returns:
            What the client asked its loop for, as far as it's a right delay.

        Raises:
            Failure: the delay is too short or too long.
        """
        await play.do("waits")
        asked = (await play.next(expect="how long it waited", likely="it waits"))["seconds"]
        fitting = [each for each in asked if longest / 2 - ACCURACY <= each <= longest + ACCURACY]
        wait = visit.at - ended
        delay = [each for each in asked if delays[0] - ACCURACY <= each <= delays[1] + ACCURACY]
        # It may subtract what it has done since. And the end of a connection takes a moment to arrive.
        least = longest / 2 - 0.01
        too_long = any(longest + ACCURACY < each <= wait + 0.01 and each >= 0.8 * wait for each in asked)
        right = least <= delay[0] < longest if len(delay) == 1 else least <= wait <= longest + slow and not too_long
        if not fitting and not right:
            likely = (
                "delay n is random between half and the whole of min(cap, base * 2**n); n is 0 again when a message or "
                "an ack has come, and a handshake alone does not reset it"
            )
            got = f"the next try after {delay[0] if len(delay) == 1 else wait:.3f} s"
            expect = f"a delay from {longest / 2:.3f} to {longest:.3f} s"
            raise Failure(after=play.did, got=got, expect=expect, likely=likely)
        return fitting

    @check(5, "begins anew with short waits when a message or an ack has come")
    async def test_reset(self, subject: Subject) -> None:
        await asyncio.gather(*(self._begins_anew(subject, with_ack) for with_ack in (False, True)))

    async def _begins_anew(self, subject: Subject, with_ack: bool) -> None:
        base = 0.01
        async with stage(subject) as play:
            await play.begin(base=base, cap=30)
            for _ in range(7):
                (await play.visit(likely="it tries again", seconds=play.patience + 3)).refuse(503)
            await play.do("waits")
            await play.next(expect="how long it waited", likely="it waits")
            visit = await play.visit(likely="it tries again", seconds=play.patience + 5)
            await visit.accept()
            if with_ack:
                await play.do("send", text="hello")
                await visit.send(ack(await self._message(play, visit, "hello"), 1))
                await play.does("sent", text="hello", id=1, likely="send() gives the id")
            else:
                await visit.send(message(1, "Grace", "hello"))
                await play.does("item", item=message(1, "Grace", "hello"), likely="a message is handed on")
            ended = asyncio.get_running_loop().time()
            visit.drop()
            what = "an ack" if with_ack else "a message"
            play.did = f"seven refused tries, and then {what} before the connection was lost"
            visit = await play.visit(likely="a message or an ack sets n to 0 again", seconds=play.patience + 3)
            # Without that, the wait would be longer than 0.6 s.
            await self._waits(play, ended, visit, base, delays=(base / 2, base), slow=0.5)

    @check(6, "stops for good when it is told to, and for nothing else")
    async def test_stops(self, subject: Subject) -> None:
        async with stage(subject) as play:
            for number, code in enumerate((1008, 4401, 401, 403)):
                await play.begin(number, base=0.02, cap=0.05)
                visit = await play.visit(likely="the client connects")
                if code > 999:
                    await visit.accept()
                    await visit.send(message(1, "Grace", "hello"))
                    await play.do("send", number, text="hello")
                    await self._message(play, visit, "hello")
                    await visit.close(code)
                    wanted = [("item", None), ("failed", None), ("over", code)]
                else:
                    visit.refuse(code)
                    wanted = [("over", code)]
                play.did = f"the server {'closed with' if code > 999 else 'answered the handshake with HTTP'} {code}"
                likely = f"{code} is final: the iteration ends, send() raises ConnectionError, and stopped is {code}"
                got = [await play.next(number, expect="an end", likely=likely) for _ in wanted]
                ends = sorted((event["event"], event.get("stopped")) for event in got)
                if ends != sorted(wanted, key=str) and sorted(map(str, ends)) != sorted(map(str, wanted)):
                    raise Failure(after=play.did, got=show(ends), expect=show(sorted(wanted, key=str)), likely=likely)
                await play.do("send", number, text="too late")
                await play.does("failed", number, text="too late", likely=likely)
            await play.begin(9, base=0.02, cap=0.05)
            going_on = "refused handshakes with 5xx and every other close code are no reason to stop"
            for code in (1000, 1001, 1011, 1012, 1013, 4408, 500, 502, 503, 504):
                visit = await play.visit(likely=going_on)
                play.did = f"the server {'closed with' if code > 999 else 'answered the handshake with HTTP'} {code}"
                if code > 999:
                    await visit.accept()
                    await visit.close(code)
                else:
                    visit.refuse(code)
            visit = await play.visit(likely=going_on)
            await visit.accept()
            await visit.send(message(1, "Grace", "hello"))
            await play.does("item", 9, item=message(1, "Grace", "hello"), likely=going_on)

    @check(7, "loses and doubles nothing while the server is killed again and again")
    async def test_all(self, subject: Subject) -> None:
        names = ("Ada", "Grace", "Linus")
        chance = random.Random(8)
        clock = asyncio.get_running_loop().time
        with tempfile.TemporaryDirectory() as folder:
            settings = {"JOURNAL": str(Path(folder) / "journal")}
            async with contextlib.AsyncExitStack() as stack, stage(subject, patience=10) as play:
                own = await stack.enter_async_context(subject.another(**settings))
                port = own.server.port
                talks = [Talk(play, number) for number in range(3)]
                for number, name in enumerate(names):
                    await play.begin(number, url=own.server.ws(f"/ws/lobby?name={name}"), base=0.02, cap=0.1)
                talking = asyncio.gather(*(talk.go_on() for talk in talks))
                try:
                    until = clock() + LONGEST_KILLS
                    for kill in range(KILLS):
                        # All have come back and go on.
                        for talk in talks:
                            await talk.said_more(talking)
                        if clock() > until:
                            break
                        await asyncio.sleep(chance.uniform(0, 0.1))
                        if kill % 3:
                            own.server.kill()
                        else:
                            await asyncio.to_thread(own.server.stop, 4)
                        own = await stack.enter_async_context(subject.another(port=port, **settings))
                    for talk in talks:
                        talk.enough = True
                    await talking
                finally:
                    talking.cancel()
                    await asyncio.gather(talking, return_exceptions=True)
                ids = [talk.ids for talk in talks]
                expected = {sent: text for each in ids for text, sent in each.items()}
                after = f"three clients talked, while the server was ended and started again {KILLS} times"
                total = sum(map(len, ids))
                if sorted(expected) != list(range(1, total + 1)):
                    got = (
                        f"{total} sends ended well, with {len(expected)} different ids up to {max(expected, default=0)}"
                    )
                    raise Failure(after=after, got=got, expect="ids 1, 2, 3, ... one for each send", likely=WRITTEN)
                for number, name in enumerate(names):
                    await self._has_all(talks[number], name, expected, after)

    @staticmethod
    async def _has_all(talk: Talk, name: str, expected: dict[int, str], after: str) -> None:
        """This reader has every message once, in order, and no gap."""
        items = talk.items
        likely = "after= the last id handed on, a replay without holes, and keys that survive the kill"
        while len(items) < len(expected):
            expect = f"{len(expected)} messages for {name}"
            event = await talk.play.next(talk.client, expect=expect, likely=likely)
            items.append(event.get("item"))
        for number, item in enumerate(items, 1):
            text = expected.get(number, "nothing more")
            who = ("Ada", "Grace", "Linus")[int(text[0])] if number in expected else ""
            if item != message(number, who, text):
                expect = show(message(number, who, text))
                raise Failure(after=after, got=f"{name} was handed {show(item)}", expect=expect, likely=likely)
