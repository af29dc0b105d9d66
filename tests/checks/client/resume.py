"""Step 09, TODO 1: a client that resumes and resends, and loses and duplicates nothing."""

from typing import Any

from judge.fake_server import PONG, ConnectionAttempt, FakeServer, fake_server
from judge.members import message
from judge.messages import show
from judge.model import Failure, check
from judge.rejoining import ack
from judge.subject import Subject

from .sent import CONNECTS, PINGS, accepted, ends, key_of, keys_are

RESUMES = "each connect asks for after= the last id, and leaves the rest of the address as it is"
GAP = (
    "Your client asks for the messages of a gap again, or delivers them later. They count as delivered: add the gap's "
    "missed to the id that the next connect asks for."
)
AS_IT_ARRIVED = (
    "Your client changes an item, or delivers it twice. Put each message and gap object into the inbox as it arrived, "
    "once."
)
TWICE = (
    "Your client delivers a message again, or its send() returns another id than the acknowledgement has. Skip each "
    "message whose id isn't larger than after."
)
SAME_INBOX = "Your client delivers nothing after a reconnect. Let each connection put its messages into the same inbox."
OWN_KEY = (
    "Your client uses one key for two messages with the same text, so the server drops the second one. Choose a random "
    "key in each call of send(), such as uuid.uuid4().hex."
)
UNKNOWN = (
    "Your client ends after an ack with an unknown key, or its send() returns another id. Ignore an unknown key: the "
    "task that called send() may have been canceled."
)
LATE = (
    "Your client counts a message as delivered when the reader takes it, so it asks for those in the inbox again. Set "
    "after in the same step in which you put the message into the inbox."
)


class Resume:
    @check(1, "resumes after the last id, resends unacknowledged messages, and delivers nothing twice")
    async def test_client(self, subject: Subject) -> None:
        async with fake_server(subject) as server:
            await server.begin(after=7, base=0.05, cap=0.1)
            attempt = await self._attempts(server, after="7")
            server.did = "the server sent messages 8 and 9"
            items = [message(8, "Grace", "eight"), message(9, "Ada", "nine"), {"type": "gap", "missed": 2}]
            await attempt.send({"type": "members", "names": ["Ada"]}, *items[:2], {"type": "joined", "name": "Grace"})
            for item in items[:2]:
                await server.does(
                    "item",
                    item=item,
                    likely=AS_IT_ARRIVED,
                )
            attempt.drop()
            server.did += ", and then the connection was lost"
            attempt = await self._attempts(server, after="9")
            # Repeat both items after the reader has taken them; test_late covers a reader that starts late.
            await attempt.send(items[1], items[0], {"type": "ping"})
            server.did = "the server sent both messages again on a new connection, and a ping"
            pong = await server.next_message(attempt, likely=PINGS)
            if pong != PONG:
                likely = 'a {"type": "ping"} of the server is answered with {"type": "pong"}'
                raise Failure(after=server.did, got=show(pong), expect='{"type": "pong"}', likely=likely)
            # Acknowledge one of three messages, and drop the connection: the client sends the others again, in order.
            for text in ("one", "두", "three"):
                await server.do("send", text=text)
            sent = [await key_of(server, attempt, text) for text in ("one", "두", "three")]
            await attempt.send(ack(sent[0], 10))
            await server.does("sent", text="one", id=10, likely=TWICE)
            attempt.drop()
            server.did = "three messages were sent, one was acknowledged, and the connection was lost"
            attempt = await self._attempts(server, after="9")
            again = [await key_of(server, attempt, text) for text in ("두", "three")]
            keys_are(server, again, sent[1:])
            await attempt.send(message(10, "Ada", "one"), message(11, "Ada", "두"), ack(sent[1], 11), items[2])
            for item in (message(10, "Ada", "one"), message(11, "Ada", "두")):
                await server.does(
                    "item",
                    item=item,
                    likely=SAME_INBOX,
                )
                if item["id"] == 11:
                    break
            await self._any_order(
                server,
                ("sent", {"text": "두", "id": 11}),
                ("item", {"item": items[2]}),
                likely="Your client doesn't deliver a gap. Put the gap object into the inbox too.",
            )
            # Send without a connection: this message comes after the unacknowledged ones.
            await attempt.close(1012)
            server.did = "message 11, a gap of 2, and a close with 1012; one text was sent twice meanwhile"
            await server.do("send", text="four")
            await server.do("send", text="four")
            attempt = await self._attempts(server, after="13", likely=GAP)
            # Replay message 13 too: it's in the gap, so the client must skip it.
            fourteen = message(14, "Grace", "fourteen")
            await attempt.send(message(13, "Grace", "thirteen"), fourteen)
            await server.does("item", item=fourteen, likely=GAP)
            await key_of(server, attempt, "three")
            sent += [await key_of(server, attempt, "four", likely=OWN_KEY) for _ in range(2)]
            if len({*sent}) != len(sent):
                expect = "a key of its own for each message"
                raise Failure(after=server.did, got=f"keys {sent}", expect=expect, likely=OWN_KEY)
            server.did = "the server acknowledged a key that it never got, and then the three messages"
            await attempt.send(ack("unknown", 18), ack(sent[2], 15), ack(sent[3], 16), ack(sent[4], 17))
            await server.does("sent", text="three", id=15, likely=UNKNOWN)
            for number in (16, 17):
                await server.does("sent", text="four", id=number, likely="each send() gets the id of its own key")

    async def _attempts(self, server: FakeServer, *, after: str, likely: str = RESUMES) -> ConnectionAttempt:
        attempt = await server.next_attempt(likely=CONNECTS)
        if attempt.query != {"name": ["Ada"], "after": [after]}:
            raise Failure(
                after=server.did,
                got=f"a handshake with {attempt.query}",
                expect=f"name=Ada and after={after}, the last id delivered",
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

    @check(1, "delivers each message once, also to a reader that starts late")
    async def test_late(self, subject: Subject) -> None:
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
            await attempt.send(message(4, "Grace", "text 4"))
            await server.do("read")
            server.did = (
                "three connections delivered messages 1 to 3, and a fourth one message 4; then a reader started"
            )
            for number in (1, 2, 3, 4):
                await server.does("item", item=message(number, "Grace", f"text {number}"), likely=LATE)

    @check(1, "leaves no task behind, and lets each waiting send() fail")
    async def test_ends(self, subject: Subject) -> None:
        likely = "at the end of async with: end every task and await it, and let each send() raise ConnectionError"
        async with fake_server(subject) as server:
            # End a client while it's connected, between two attempts, and before the handshake response.
            for number in range(3):
                await server.begin(number, base=5 if number == 1 else 0.05)
                attempt = await server.next_attempt(number, likely="the client connects")
                if number < 2:
                    await attempt.accept()
                if number == 1:
                    attempt.drop()
                await server.do("send", number, text="hello")
                if number == 0:
                    await server.next_message(attempt, likely="a message is sent on the connection")
                server.did = "the client was ended, while a send() waits for its acknowledgement"
                await ends(server, number, likely=likely)
