"""Step 08, TODO 4: a client that reconnects, and loses and duplicates nothing."""

import asyncio
from typing import Any

from judge.fake_server import PONG, ROUNDS, ConnectionAttempt, FakeServer, fake_server
from judge.members import PING, joined, message
from judge.messages import show
from judge.model import Failure, check
from judge.rejoining import ack
from judge.subject import Subject
from judge.tasks import running

from . import silence
from .keys import ONCE
from .sent import CONNECTS, IN_ORDER, PINGS, accepted, key_in, key_of, keys_are

RESUMES = "each connect asks for after= the last id, and leaves the rest of the address as it is"
GAP = (
    "Your client asks for the messages of a gap again, or hands them on later. They count as handed on: add the gap's "
    "missed to the id that the next connect asks for."
)
WINDOW = 100
"""The limit for unacknowledged messages of a client."""
TOO_MANY = (
    "Your client sends a message although 100 are unacknowledged, or lets its send() fail. Let send() wait for a "
    "place, such as with asyncio.Semaphore(100), which becomes free with an acknowledgement."
)
INBOX = 2000
"""The limit for items in the inbox of a client."""
FULL = (
    "Your client takes more than 2000 items into its inbox, or drops those that it has no room for. Wait until there's "
    "room before you receive again, such as with the put() of an asyncio.Queue(2000)."
)


class ReconnectingClient:
    @check(4, "asks for what it missed, sends again what is not acknowledged, and hands nothing on twice")
    async def test_client(self, subject: Subject) -> None:
        async with fake_server(subject) as server:
            await server.begin(after=7, base=0.05, cap=0.1)
            attempt = await self._attempts(server, after="7")
            server.did = "the server sent messages 8 and 9, a gap and a ping"
            items = [message(8, "Grace", "eight"), message(9, "Ada", "nine"), {"type": "gap", "missed": 2}]
            await attempt.send({"type": "members", "names": ["Ada"]}, *items[:2], {"type": "joined", "name": "Grace"})
            for item in items[:2]:
                await server.does(
                    "item", item=item, likely="message and gap objects are handed on as they came, each once"
                )
            # Repeat both items after the reader has taken them; test_late covers a reader that starts late.
            await attempt.send(items[1], items[0], {"type": "ping"})
            pong = await server.next_message(attempt, likely=PINGS)
            if pong != PONG:
                likely = 'a {"type": "ping"} of the server is answered with {"type": "pong"}'
                raise Failure(after=server.did, got=show(pong), expect='{"type": "pong"}', likely=likely)
            # Acknowledge one of three messages, and drop the connection: the client sends the others again, in order.
            for text in ("one", "두", "three"):
                await server.do("send", text=text)
            sent = [await key_of(server, attempt, text) for text in ("one", "두", "three")]
            await attempt.send(ack(sent[0], 10))
            twice = (
                "what was handed on before is handed on again, or send() does not give the id of its acknowledgement"
            )
            await server.does("sent", text="one", id=10, likely=twice)
            attempt.drop()
            server.did = "three messages were sent, one was acknowledged, and the connection was lost"
            attempt = await self._attempts(server, after="9")
            again = [await key_of(server, attempt, text) for text in ("두", "three")]
            keys_are(server, again, sent[1:])
            await attempt.send(message(10, "Ada", "one"), message(11, "Ada", "두"), ack(sent[1], 11), items[2])
            for item in (message(10, "Ada", "one"), message(11, "Ada", "두")):
                await server.does("item", item=item, likely="what comes after a reconnect is handed on")
                if item["id"] == 11:
                    break
            await self._any_order(
                server,
                ("sent", {"text": "두", "id": 11}),
                ("item", {"item": items[2]}),
                likely="a gap is handed on too",
            )
            # Send without a connection: this message comes after the unacknowledged ones.
            await attempt.close(1012)
            server.did = "message 11, a gap of 2, and a close with 1012; a text was sent meanwhile"
            await server.do("send", text="four")
            attempt = await self._attempts(server, after="13", likely=GAP)
            # Replay message 13 too: it's in the gap, so the client must skip it.
            fourteen = message(14, "Grace", "fourteen")
            await attempt.send(message(13, "Grace", "thirteen"), fourteen)
            await server.does("item", item=fourteen, likely=GAP)
            await key_of(server, attempt, "three")
            key = await key_of(server, attempt, "four")
            await attempt.send(ack(sent[2], 15), ack(key, 16), ack("unknown", 17))
            await server.does("sent", text="three", id=15, likely="each send() gets the id of its own key")
            await server.does("sent", text="four", id=16, likely="each send() gets the id of its own key")
            if len({*sent, key}) != 4:
                raise Failure(got=f"keys {[*sent, key]}", expect="a key of its own for each message", likely=ONCE)

    async def _attempts(self, server: FakeServer, *, after: str, likely: str = RESUMES) -> ConnectionAttempt:
        attempt = await server.next_attempt(likely=CONNECTS)
        if attempt.query != {"name": ["Ada"], "after": [after]}:
            raise Failure(
                after=server.did,
                got=f"a handshake with {attempt.query}",
                expect=f"name=Ada and after={after}, the last id handed on",
                likely=likely,
            )
        await attempt.accept()
        return attempt

    @staticmethod
    async def _any_order(server: FakeServer, *wanted: tuple[str, dict[str, Any]], likely: str) -> None:
        expected = [{"event": event, "client": 0, **more} for event, more in wanted]
        got = [await server.next(expect=show(expected), likely=likely) for _ in wanted]
        if sorted(map(show, got)) != sorted(map(show, expected)):
            raise Failure(after=server.did, got=show(got), expect=show(expected), likely=likely)

    @check(4, "hands on each message once, also to one who asks late")
    async def test_late(self, subject: Subject) -> None:
        likely = "what is in the inbox must not be asked for again, or be left out when it comes; a stop loses nothing"
        async with fake_server(subject) as server:
            await server.begin(read=False, base=0.02, cap=0.05)
            for _ in range(3):
                attempt = await accepted(server)
                after = int(attempt.query.get("after", ["0"])[0])
                await attempt.send(*(message(number, "Grace", f"text {number}") for number in range(after + 1, 4)))
                await attempt.send({"type": "ping"})
                # Wait for the pong: then the client has received the messages before the ping.
                await server.next_message(attempt, likely=PINGS)
                attempt.drop()
            attempt = await accepted(server)
            await attempt.close(1008)
            # Wait until this send() fails: then the client has stopped.
            await server.do("send", text="too late")
            await server.does("failed", text="too late", likely="1008 is final: let each send() raise ConnectionError")
            await server.do("read")
            server.did = (
                "three connections brought messages 1 to 3, then one was closed with 1008, and then somebody read"
            )
            for number in (1, 2, 3):
                await server.does("item", item=message(number, "Grace", f"text {number}"), likely=likely)
            await server.does("over", stopped=1008, likely=likely)

    @check(4, "leaves no task behind, and tells whoever waits")
    async def test_ends(self, subject: Subject) -> None:
        likely = "at the end of async with: end every task and await it, and let each send() raise ConnectionError"
        async with fake_server(subject) as server:
            # End a client while it's connected, between two attempts, and before the handshake response.
            for number in range(3):
                await server.begin(number, base=5 if number == 1 else 0.05)
                attempt = await server.next_attempt(number, likely="the client connects")
                if number == 0:
                    await attempt.accept()
                elif number == 1:
                    attempt.refuse(503)
                await server.do("send", number, text="hello")
                if number == 0:
                    await server.next_message(attempt, likely="a message is sent on the connection")
                server.did = "the client was ended, while a send() waits for its acknowledgement"
                await self._ends(server, number, likely=likely)
            await server.begin(3)
            await silence.sends_huge(server, 3)
            # Let the client run until its send() is suspended.
            for _ in range(ROUNDS):
                await server.handled()
            server.did = "the client was ended, while it sends into a network that takes nothing"
            await self._ends(server, 3, likely=silence.STUCK, seconds=silence.CLOSED_WITHIN)

    @staticmethod
    async def _ends(server: FakeServer, client: int, *, likely: str, seconds: float = 0) -> None:
        """End a client with a reader and a suspended send(), and check that both end and no task is left."""
        await server.do("end", client)
        got = [
            await server.next(client, expect="failed, over, ended", likely=likely, seconds=seconds) for _ in range(3)
        ]
        events = sorted(event["event"] for event in got)
        ended = next((event for event in got if event["event"] == "ended"), {})
        if events != ["ended", "failed", "over"] or ended.get("left") or ended.get("waiting"):
            raise Failure(
                after=server.did,
                got=f"{', '.join(events)}; unfinished: {ended.get('left') or 'nothing'}",
                expect="send() raises ConnectionError, the iteration ends, nothing is unfinished",
                likely=likely,
            )
        await server.do("send", client, text="too late")
        late = "send() after the end raises ConnectionError"
        await server.does("failed", client, text="too late", likely=late)

    @check(4, "has at most 100 messages unacknowledged, and sends the next when one is acknowledged")
    async def test_window(self, subject: Subject) -> None:
        texts = [f"text {number}" for number in range(2 * WINDOW)]
        async with fake_server(subject) as server:
            await server.begin(base=0.02, cap=0.05)
            attempt = await accepted(server)
            for text in texts:
                await server.do("send", text=text)
            await server.handled()
            server.did = f"{len(texts)} calls of send()"
            # Collect the keys in order. The client may send any number up to 100 before the first acknowledgement.
            keys: list[str] = []
            acknowledged = 0
            while len(keys) < WINDOW + 30:
                # If every message is acknowledged, the client must send the next one.
                first = [await server.next_message(attempt, likely=IN_ORDER)] if len(keys) == acknowledged else []
                for got in first + await server.messages_so_far(attempt, likely=PINGS):
                    if len(keys) == acknowledged + WINDOW:
                        expect = f"{WINDOW} at most"
                        got = f"{WINDOW + 1} unacknowledged messages"
                        raise Failure(after=server.did, got=got, expect=expect, likely=TOO_MANY)
                    keys.append(key_in(server, got, texts[len(keys)]))
                if not acknowledged:
                    attempt.drop()
                    server.did = f"{len(keys)} messages, and a lost connection"
                    attempt = await accepted(server)
                    keys_are(server, [await key_of(server, attempt, text) for text in texts[: len(keys)]], keys)
                for _ in range(max(1, (len(keys) - acknowledged) // 4)):
                    await attempt.send(ack(keys[acknowledged], acknowledged + 1))
                    await server.does("sent", text=texts[acknowledged], id=acknowledged + 1, likely=TOO_MANY)
                    acknowledged += 1
                server.did = f"{len(texts)} calls of send(), a lost connection, and {acknowledged} acknowledgements"
            await server.do("end")
            server.did += ", and the end of the client"
            likely = "A send() that waits for its place goes on waiting. Wake it at the end, and raise ConnectionError."
            failed = []
            while (event := await server.next(expect="the end", likely=likely))["event"] != "ended":
                failed += [event["text"]] if event["event"] == "failed" else []
            if sorted(failed) != sorted(texts[acknowledged:]):
                expect = f"in all {len(texts) - acknowledged} that wait"
                got = f"ConnectionError in {len(failed)} calls of send()"
                raise Failure(after=server.did, got=got, expect=expect, likely=likely)

    @check(4, "has at most 2000 items in its inbox, and loses none of those that come later")
    async def test_inbox(self, subject: Subject) -> None:
        items = [message(number, "Grace", "hello") for number in range(1, INBOX + 101)]
        async with fake_server(subject) as server:
            attempts = []
            for number in range(2):
                await server.begin(number, read=False)
                attempts.append(await accepted(server, number))
            late, other = attempts
            server.did = f"{len(items)} messages and a ping, to a client without a reader"
            async with running(server.next_message(late, likely=PINGS)) as (pong,):
                await late.send(*items, PING)
                # Send as many events to a second client, which has no reason to wait. Once it has received them, the
                # first one has had time for a pong.
                await other.send(*[joined("Grace")] * len(items))
                await server.messages_so_far(other, likely=PINGS)
                if pong.done():
                    got = f"{show(pong.result())} though no item was taken"
                    raise Failure(after=server.did, got=got, expect="no pong before that", likely=FULL)
                await server.do("read")
                server.did += ", which then begins to read"
                for item in items:
                    await server.does("item", item=item, likely=FULL)
                if (got := await pong) != PONG:
                    raise Failure(after=server.did, got=show(got), expect=show(PONG), likely=PINGS)

    @check(4, "reconnects when nothing comes any longer, and stays while pings come")
    async def test_silence(self, subject: Subject) -> None:
        situations = (silence.half_open, silence.without_answer, silence.stuck, silence.pinged)
        await asyncio.gather(*(situation(subject) for situation in situations))
