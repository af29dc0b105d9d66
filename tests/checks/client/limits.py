"""Step 09, TODO 2: the limits of a client, for unacknowledged messages and for its inbox."""

import asyncio
from typing import Any

from judge.fake_server import ROUNDS, ConnectionAttempt, FakeServer, fake_server
from judge.members import PING, joined, message
from judge.model import Failure, check
from judge.rejoining import ack
from judge.subject import Subject
from judge.tasks import running

from .resume import AGAIN, gap
from .sent import ANSWERED, IN_ORDER, NO_ID, PINGS, accepted, ends, key_in, key_of, keys_are, next_sent, no_more_sent

WINDOW = 100
"""The limit for unacknowledged messages of a client."""
TOO_MANY = (
    "Your client sends a message although 100 are unacknowledged. Let send() wait for a place in "
    "asyncio.Semaphore(100), and release the place after the acknowledgement."
)
TOO_FEW = (
    "Your client doesn't send the next message although fewer than 100 are unacknowledged. Let 100 calls of send() in, "
    "release a place for each acknowledgement, and create the semaphore in __init__, so each client has its own."
)
NO_PLACE = (
    "A canceled send() keeps its place among the 100. Release the place however send() ends, such as with "
    "async with self._window: around all of it."
)
WINDOW_ENDS = (
    "A send() that waited for a place doesn't see that the client has ended. Test self._ended again after the wait, "
    "and raise ConnectionError."
)
CANCELED = (
    "Your client sends a message whose send() was canceled. Remove its key from self._unacknowledged in a finally in "
    "send(), and let the writer skip keys that aren't in it."
)
WINDOW_FAILS = (
    "Your send() raises ConnectionError while 100 messages are unacknowledged. Let it wait for a place instead: "
    "async with self._window:, an asyncio.Semaphore(MAX_UNACKNOWLEDGED)."
)
INBOX = 2000
"""The limit for items in the inbox of a client."""
MORE = 100
"""The items that have no room in the inbox."""
WAIT_FOR_ROOM = "self._changed.wait_for(lambda: len(self._inbox) < MAX_INBOX)"
FULL = (
    "Your client receives more although 2,000 items are in its inbox, or drops those without room. Wait until there's "
    f"room before you append an item, and before you receive again: {WAIT_FOR_ROOM}."
)
UNLIMITED = (
    "Your client's inbox grows without a limit. Before you append an item, and before you receive again, wait until "
    f"there's room: {WAIT_FOR_ROOM}."
)
DROPS_NEW = (
    "Your client drops the items for which its inbox has no room. Wait until there's room before you append an item: "
    f"{WAIT_FOR_ROOM}."
)
DROPS_OLDEST = (
    "Your inbox drops its oldest item for a new one, as a deque with maxlen does. Create it without maxlen, and wait "
    f"until there's room before you append an item: {WAIT_FOR_ROOM}."
)
TOO_SMALL = (
    "Your client stops receiving before 2,000 items are in its inbox. Let the reader wait only while "
    "len(self._inbox) >= MAX_INBOX, leave MAX_INBOX at 2000, and use no other limit, such as a maxsize."
)
NOT_WOKEN = (
    "Your client received nothing more after its inbox was full, because nothing wakes the waiting reader. Call "
    "self._changed.notify_all() in __anext__() when it takes an item."
)
DROPPED = (
    "Your client drops an item for which its inbox has no room. Wait for room before you append it; a deque with "
    "maxlen drops the oldest item."
)
LOST_WHILE_FULL = (
    "Your client lost an item that waited for room when the connection ended. Set self.after only when the item is in "
    "the inbox, after the wait for room."
)


async def _all_wait(server: FakeServer, client: int) -> None:
    """Check that no send() has ended, also those without a place.

    Raises:
        Failure: one has.
    """
    try:
        await server.quiet(client, likely=NO_ID)
    except Failure as failure:
        if "raised ConnectionError" in failure.got and "ended with" not in failure.got:
            failure.likely = WINDOW_FAILS
        raise


async def _taken(server: FakeServer, items: list[dict[str, Any]]) -> tuple[str, str]:
    """Let the program take all items of an inbox that isn't limited, and return a text for them and the cause."""
    await server.do("read")
    taken: list[Any] = []
    quiet = 0
    while quiet < ROUNDS:
        await server.handled()
        quiet += 1
        while not server.events(0).empty():
            event = server.events(0).get_nowait()
            taken.append(event.get("item"))
            quiet = 0
    if taken == items:
        return f"all {len(taken):,} items", UNLIMITED
    if not taken or taken[-1] != items[-1]:
        return f"only the first {len(taken):,} items", DROPS_NEW if taken == items[: len(taken)] else FULL
    return f"only the last {len(taken):,} items", DROPS_OLDEST if taken == items[-len(taken) :] else FULL


class Limits:
    @check(2, "has at most 100 unacknowledged messages, and sends the next when one is acknowledged")
    async def test_window(self, subject: Subject) -> None:
        async with fake_server(subject) as server:
            await asyncio.gather(self._fills(server), self._cancels(server, 1))

    @staticmethod
    async def _fills(server: FakeServer) -> None:
        texts = [f"text {number}" for number in range(2 * WINDOW)]
        await server.begin(base=0.02, cap=0.05)
        attempt = await accepted(server)
        for text in texts:
            await server.do("send", text=text)
        await server.handled()
        server.did = f"{len(texts)} calls of send()"
        await _all_wait(server, 0)
        keys = [await key_of(server, attempt, text, likely=TOO_FEW, wrong=IN_ORDER) for text in texts[:WINDOW]]
        await no_more_sent(server, attempt, likely=TOO_MANY)
        # Another client of the same program has 100 places of its own.
        await server.begin(2)
        other = await accepted(server, 2)
        await server.do("send", 2, text="other")
        server.did += ", and one of another client in the same process"
        await key_of(server, other, "other", likely=TOO_FEW)
        attempt.drop()
        server.did = f"{len(texts)} calls of send(), and a lost connection"
        attempt = await accepted(server)
        for text, key in zip(texts, keys, strict=False):
            await key_of(server, attempt, text, likely=TOO_FEW, wrong=IN_ORDER, key=key)
        await no_more_sent(server, attempt, likely=TOO_MANY)
        acknowledged = 0
        for count in (1, 30, 2):
            for _ in range(count):
                await attempt.send(ack(keys[acknowledged], acknowledged + 1))
                await server.does("sent", text=texts[acknowledged], id=acknowledged + 1, likely=NO_ID)
                acknowledged += 1
            server.did = f"{len(texts)} calls of send(), a lost connection, and {acknowledged} acknowledgements"
            for text in texts[len(keys) : WINDOW + acknowledged]:
                keys.append(await key_of(server, attempt, text, likely=TOO_FEW, wrong=IN_ORDER))
            await no_more_sent(server, attempt, likely=TOO_MANY)
        server.did = f"{len(texts)} calls of send(), a lost connection, {acknowledged} acks, and the end of the client"
        await ends(server, sends=len(texts) - acknowledged, waits=WINDOW_ENDS)

    @staticmethod
    async def _cancels(server: FakeServer, client: int) -> None:
        """Cancel calls of send(): before the first connection, while they wait for an ack, and for a place."""
        await server.begin(client, base=0.02, cap=0.05)
        attempt = await server.next_attempt(client, likely=IN_ORDER)
        texts = [f"number {number}" for number in range(WINDOW + 10)]
        for text in texts:
            await server.do("send", client, text=text)
        await server.handled()
        # All that have a place, and one that waits for one.
        canceled = [*texts[:WINDOW], texts[WINDOW + 5]]
        server.did = f"{len(texts)} calls of send() before the first connection"
        await _all_wait(server, client)
        # All together: one after another, they'd take longer on a busy machine than the client waits for its handshake.
        for text in canceled:
            await server.do("cancel", client, text=text)
        await server.all_of(*({"event": "canceled", "text": text} for text in canceled), client=client, likely=NO_ID)
        await attempt.accept()
        did = f"{len(texts)} calls of send() before the first connection, of which {len(canceled)} were canceled then"
        server.did = did
        left = [text for text in texts if text not in canceled]
        # A canceled call leaves its place to the next one.
        keys = [await key_of(server, attempt, text, likely=NO_PLACE, wrong=CANCELED) for text in left[:2]]
        await server.do("cancel", client, text=left[0])
        await server.does("canceled", client, text=left[0], likely=NO_ID)
        for got, text in zip(await server.messages_so_far(attempt, likely=PINGS), left[2:], strict=False):
            keys.append(key_in(server, got, text, likely=CANCELED, client=client))
        server.did = (
            f"{did}, and a canceled send() whose message was sent, before its ack arrived, and a lost connection"
        )
        attempt.drop()
        attempt = await accepted(server, client)
        again = left[1:]
        acknowledged = 0
        while again:
            got = await next_sent(server, attempt, likely=NO_PLACE, expect=f"the message {again[0]!r}")
            key = key_in(server, got, again[0], likely=CANCELED, client=client)
            if acknowledged + 1 < len(keys):
                keys_are(server, [key], keys[acknowledged + 1 : acknowledged + 2])
            if not acknowledged:
                # The late ack of a canceled message.
                await attempt.send(ack(keys[0], 1))
            acknowledged += 1
            await attempt.send(ack(key, acknowledged + 1))
            await server.does("sent", client, text=again.pop(0), id=acknowledged + 1, likely=NO_ID)
        await no_more_sent(server, attempt, likely=ANSWERED)

    @check(2, "has at most 2000 items in its inbox, and loses no later ones")
    async def test_inbox(self, subject: Subject) -> None:
        async with fake_server(subject) as server:
            for number in range(3):
                await server.begin(number, read=False, base=0.02, cap=0.05)
            attempts = [await accepted(server, number) for number in range(3)]
            await self._fills_inbox(server, *attempts[:2])
            await self._loses_full(server, attempts[2])

    @staticmethod
    async def _fills_inbox(server: FakeServer, late: ConnectionAttempt, other: ConnectionAttempt) -> None:
        items = [message(number, "Grace", "hello") for number in range(1, INBOX + MORE)]
        items.insert(INBOX + 50, gap(2))
        items[INBOX + 51 :] = [each | {"id": each["id"] + 2} for each in items[INBOX + 51 :]]
        await late.send(*items[: INBOX - 1])
        server.did = f"{INBOX - 1} messages and a ping, to a client without a reader"
        await server.messages_before_pong(late, likely=TOO_SMALL)
        server.did = f"{len(items)} items and a ping, to a client without a reader"
        async with running(server.next_message(late, likely=NOT_WOKEN)) as (pong,):
            await late.send(*items[INBOX - 1 :], PING)
            # Send as many events to a second client, which has no reason to wait. Once it has received them, the
            # first one has had time for a pong.
            await other.send(*[joined("Grace")] * len(items))
            await server.messages_so_far(other, likely=PINGS)
            if pong.done():
                pong.result()
                expect = "no pong before an item was taken"
                found, likely = await _taken(server, items)
                got = f"a pong, although no item was taken, and then {found}"
                raise server.failure(0, got=got, expect=expect, likely=likely)
            await server.do("read")
            server.did += ", which then begins to read"
            for number, item in enumerate(items):
                likely = NOT_WOKEN if number >= INBOX - 1 else DROPPED
                await server.does("item", item=item, likely=likely, wrong=DROPPED)
            await pong
        await server.quiet(likely=AGAIN)

    @staticmethod
    async def _loses_full(server: FakeServer, attempt: ConnectionAttempt) -> None:
        """Lose a connection while the inbox is full, and another one in the same state after a send()."""
        items = [message(number, "Grace", "hello") for number in range(1, INBOX + MORE)]
        client = attempt.client
        await attempt.send(*items[:INBOX])
        for item in items[INBOX:]:
            await attempt.send(item)
        # The client has received a part of them by then, and it can't deliver it.
        await server.do("send", client, text="one")
        key = await key_of(server, attempt, "one")
        attempt.drop()
        server.did = (
            f"{len(items)} messages and a lost connection, to a client without a reader; then it begins to read"
        )
        await server.do("send", client, text="two")
        await server.handled()
        await server.do("read", client)

        async def replay() -> None:
            while True:
                again = await accepted(server, client)
                after = int(again.query.get("after", ["0"])[0])
                await again.send(*items[after:])
                await key_of(server, again, "one", key=key)
                await again.connection.wait_closed()

        async with running(replay()):
            for number, item in enumerate(items):
                likely = LOST_WHILE_FULL if number >= INBOX else DROPPED
                await server.does("item", client, item=item, likely=likely, wrong=likely)
        await server.quiet(client, likely=AGAIN)
