"""Step 09, TODO 2: the limits of a client, for unacknowledged messages and for its inbox."""

from judge.fake_server import PONG, fake_server
from judge.members import PING, joined, message
from judge.messages import show
from judge.model import Failure, check
from judge.rejoining import ack
from judge.subject import Subject
from judge.tasks import running

from .sent import IN_ORDER, PINGS, accepted, key_in, key_of, keys_are

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


class Limits:
    @check(2, "has at most 100 unacknowledged messages, and sends the next when one is acknowledged")
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

    @check(2, "has at most 2000 items in its inbox, and loses no later ones")
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
