"""Step 09, TODO 1: a client that resumes and resends, and loses and duplicates nothing."""

import asyncio
from typing import Any

from judge.fake_server import PONG, ROUNDS, ConnectionAttempt, FakeServer, fake_server
from judge.members import PING, joined, message
from judge.messages import show
from judge.model import check
from judge.rejoining import ack
from judge.subject import Subject

from .sent import (
    ANSWERED,
    CONNECTS,
    DUPLICATE,
    IN_ORDER,
    NO_ID,
    NO_ITEM,
    PINGS,
    SAME_TEXT,
    SOCKET_LEFT,
    ends,
    key_in,
    key_of,
    keys_are,
    next_sent,
    no_more_sent,
    unique,
)

AFTER = (
    "Your client asks for the messages after another id. Set self.after together with each item that you put into the "
    "inbox: to the id of a message."
)
BEHIND = (
    "Your client asks again for messages that are in its inbox. Set self.after when you put a message into the inbox, "
    "not when the program takes it."
)
BY_TEXT = (
    "Your client skips a message that has the sender and the text of another one. Skip a message only if its id isn't "
    "larger than self.after."
)
NO_AFTER = "Your client connects without after=. Connect to self._resume_url(), and call it before each attempt."
OWN = "Your client doesn't deliver the messages that it has sent itself. They're items like those of other members."
HOLES = (
    "Your client doesn't deliver a message whose id isn't the next one. Skip a message only if its id isn't larger "
    "than self.after."
)
GAP = (
    "Your client doesn't count the missing messages of a gap as delivered. When a gap arrives, add its missed to "
    "self.after."
)
GAP_AS_ONE = "Your client counts each gap as one missing message. Add the gap's missed to self.after."
EACH_GAP = (
    "Your client doesn't deliver this gap. Put each gap into the inbox, also one that's equal to the gap before it."
)
OF_THE_START = (
    "Your client asks with the after= that it began with. Set self.after to each delivered id, and compute the URL "
    "from self.after before each attempt."
)
START = 7
"""The argument `after` of one client."""
AGAIN = (
    "Your client delivers a message again that the server replays. Skip each message whose id isn't larger than "
    "self.after."
)
NEVER_STARTED = (
    "Your send() waits although async with has ended: the client's task was canceled before its first step, and then "
    "it runs no finally. End the client in __aexit__() too, after the task."
)
NOT_RESENT = (
    "Your client doesn't send a message again that the lost connection had sent. Clear self._in_flight for each "
    "connection, and keep a message in self._unacknowledged until its answer arrives."
)
UNKNOWN = (
    "After an ack with an unknown key, your client ends, or another send() returns. Look the key up with get(), and "
    "ignore it if it isn't in self._unacknowledged."
)
TWICE_ACKED = "The second ack of a key has an effect on your client. Ignore an ack whose send() has returned."
SECOND_READER = (
    "Your client doesn't deliver messages that arrived before the end of their connection. Receive until recv() "
    "raises ConnectionClosed: only then is everything read, whatever the writer has met."
)


def gap(missed: int) -> dict[str, Any]:
    """Return a gap."""
    return {"type": "gap", "missed": missed}


async def resumed(
    server: FakeServer, after: int, *, client: int = 0, likely: str = AFTER, sends: str | None = None
) -> ConnectionAttempt:
    """Accept the next connection, which must ask for what follows this id.

    Args:
        server: the fake server.
        after: the last id that was delivered.
        client: the client's number.
        likely: the likely cause of another id.
        sends: a text for a call of send() before the connection is accepted; by default, there's none.

    Raises:
        Failure: the client doesn't connect, or asks for something else.
    """
    attempt = await server.next_attempt(client, likely=CONNECTS)
    asked = attempt.query.get("after", [])
    if likely == BEHIND and asked != ["0"]:
        likely = BY_TEXT
    elif likely == AFTER and asked == [str(START)]:
        likely = OF_THE_START
    elif likely == GAP and asked == [str(after - 1)]:
        likely = GAP_AS_ONE
    if asked != [str(after)]:
        raise server.failure(
            client,
            got=f"a handshake for {attempt.target}",
            expect=f"after={after} in its query, once",
            likely=likely if asked else NO_AFTER,
            crash=False,
        )
    if sends is not None:
        await server.do("send", client, text=sends)
        await server.handled()
    await attempt.accept()
    return attempt


class Resume:
    @check(1, "resumes after the last id, resends unacknowledged messages, and delivers nothing twice")
    async def test_client(self, subject: Subject) -> None:
        async with fake_server(subject) as server:
            await server.begin(after=START, base=0.02, cap=0.05)
            attempt = await resumed(server, START)
            server.did = "the server sent messages 8 and 9, from other members and from the client itself"
            items: list[dict[str, Any]] = [message(8, "Grace", "eight"), message(9, "Ada", "nine")]
            others = ({"type": "members", "names": ["Ada"]}, joined("Grace"), {"type": "left", "name": "Grace"})
            await attempt.send(others[0], *items, *others[1:], {"type": "direct", "from": "Grace", "text": "psst"})
            for item, likely in zip(items, (NO_ITEM, OWN), strict=True):
                await server.does("item", item=item, likely=likely)
            attempt.drop()
            server.did += ", and then the connection was lost"
            attempt = await resumed(server, 9)
            # Repeat both items after the reader has taken them; test_late covers a reader that starts late.
            await attempt.send(items[1], items[0], PING)
            server.did = "the server sent messages 9 and 8 again, in this order, on a new connection, and a ping"
            pong = await server.next_message(attempt, likely=PINGS, expect=show(PONG))
            if pong != PONG:
                raise server.failure(0, got=show(pong), expect=show(PONG), likely=PINGS, crash=False)
            await server.quiet(likely=AGAIN)
            await self._resends(server, attempt)
            await self._gaps(server)
            await self._last_messages(server)

    @staticmethod
    async def _resends(server: FakeServer, attempt: ConnectionAttempt) -> None:
        """Lose connections while messages are unacknowledged, also with a new one in between."""
        texts = ["one", "두", "one", "four", "five", "six"]
        for text in texts[:4]:
            await server.do("send", text=text)
        server.did = "four messages were sent, of which two have the same text"
        keys = [await key_of(server, attempt, text, wrong=IN_ORDER) for text in texts[:2]]
        third = await next_sent(server, attempt)
        likely = IN_ORDER
        if isinstance(third, dict) and third.get("text") == "four":
            # The third message follows, unless the client takes it for the first one.
            later = await server.messages_so_far(attempt, likely=PINGS)
            is_late = any(isinstance(got, dict) and got.get("text") == "one" for got in later)
            likely = IN_ORDER if is_late else SAME_TEXT
        keys.append(key_in(server, third, "one", likely=likely))
        keys.append(await key_of(server, attempt, "four", wrong=IN_ORDER))
        unique(server, keys)
        await no_more_sent(server, attempt, likely=DUPLICATE)
        # Acknowledge the second one only. The acks of the others come later, in another order.
        await attempt.send(message(10, "Ada", "두"), ack(keys[1], 10))
        server.did += ", and the second one was acknowledged"
        both = {"event": "item", "item": message(10, "Ada", "두")}, {"event": "sent", "text": "두", "id": 10}
        await server.all_of(*both, likely=NO_ID)
        attempt.drop()
        server.did += ", and the connection was lost"
        left = [0, 2, 3]
        for lost in (1, 2):
            # Call send() once the client has noticed the loss: its message comes after the unacknowledged ones.
            attempt = await resumed(server, 10, sends=texts[3 + lost])
            expected = [texts[place] for place in left] + [texts[3 + lost]]
            sent = [await next_sent(server, attempt), *await server.messages_so_far(attempt, likely=PINGS)]
            found = [got.get("text") for got in sent if isinstance(got, dict)]
            if len(found) < len(expected) and not set(found) - set(expected):
                got = f"only the messages {', '.join(map(repr, found))}"
                raise server.failure(0, got=got, expect=", ".join(map(repr, expected)), likely=NOT_RESENT)
            for place, got in zip(left, sent, strict=False):
                keys_are(server, [key_in(server, got, texts[place], likely=IN_ORDER)], [keys[place]])
            keys.append(key_in(server, sent[len(left)], texts[3 + lost], likely=IN_ORDER))
            left.append(3 + lost)
            if len(sent) > len(left):
                raise server.failure(0, got=show(sent[len(left)]), expect="nothing more", likely=ANSWERED)
            if lost == 1:
                await attempt.close(1012)
                server.did += ", and then the next one too"
        unique(server, keys)
        server.did = "five messages were acknowledged in another order, with acks of an unknown key before and after"
        await attempt.send(ack("unknown", 98))
        for number, place in enumerate((3, 0, 5, 4, 2), 11):
            await attempt.send(ack(keys[place], number), ack("unknown", 97))
            await server.does("sent", text=texts[place], id=number, likely=UNKNOWN)
        server.did += ", and one of them twice"
        await attempt.send(ack(keys[3], 99))
        await server.do("send", text="seven")
        await attempt.send(ack(await key_of(server, attempt, "seven", likely=TWICE_ACKED), 16))
        await server.does("sent", text="seven", id=16, likely=TWICE_ACKED)
        await attempt.close(1001)

    @staticmethod
    async def _gaps(server: FakeServer) -> None:
        """Send gaps between messages, ids with holes, and messages again that a gap has covered."""
        server.did = "the server acknowledged everything, delivered nothing after message 10, and closed with 1001"
        attempt = await resumed(server, 10)
        server.did = "gaps of 1 and of 2 in a row, a close, and a replay of message 13, which is in a gap"
        await attempt.send(gap(1), gap(2))
        for missed in (1, 2):
            await server.does("item", item=gap(missed), likely=NO_ITEM)
        await attempt.close(1012)
        attempt = await resumed(server, 13, likely=GAP)
        # The ids of the room's messages may have holes.
        items = [message(14, "Grace", "fourteen"), gap(3), message(18, "Grace", "fourteen"), message(30, "Ada", "30")]
        await attempt.send(message(13, "Grace", "thirteen"), items[0], items[0], items[1], message(17, "Ada", "17"))
        await attempt.send(*items[2:], items[0])
        for item in items:
            likely = HOLES if item.get("id", 0) > 14 else NO_ITEM
            await server.does("item", item=item, likely=likely, wrong=GAP)
        server.did = "a gap between messages, ids with holes, and messages that were sent twice"
        await server.messages_so_far(attempt, likely=PINGS)
        await server.quiet(likely=AGAIN)
        attempt.drop()

    @staticmethod
    async def _last_messages(server: FakeServer) -> None:
        """Send a message, an ack and a close frame in one packet, while a message is unacknowledged."""
        attempt = await resumed(server, 30)
        for text in ("eight", "nine"):
            await server.do("send", text=text)
        keys = [await key_of(server, attempt, text) for text in ("eight", "nine")]
        server.did = "a message, the ack of the first of two messages, a gap, and a close with 1012 in one packet"
        last = message(31, "Ada", "eight")
        await attempt.burst(last, ack(keys[0], 31), gap(4), code=1012)
        item, sent = {"event": "item", "item": last}, {"event": "sent", "text": "eight", "id": 31}
        await server.all_of(item, sent, {"event": "item", "item": gap(4)}, likely=SECOND_READER)
        attempt = await resumed(server, 35)
        await key_of(server, attempt, "nine", key=keys[1])
        # During a close, send() can't send. The client is waiting for the end of the TCP connection then.
        attempt.begin_close(1012)
        await server.answer_to_close(attempt, likely=CONNECTS)
        server.did = "two calls of send() between a close frame and the end of its connection"
        for text in ("ten", "eleven"):
            await server.do("send", text=text)
        await server.handled()
        attempt.drop()
        attempt = await resumed(server, 35)
        await key_of(server, attempt, "nine", key=keys[1])
        for number, text in enumerate(("ten", "eleven"), 36):
            await attempt.send(ack(await key_of(server, attempt, text, wrong=IN_ORDER), number))
            await server.does("sent", text=text, id=number, likely=NO_ID)
        await no_more_sent(server, attempt, likely=DUPLICATE)

    @check(1, "delivers each message once, also to a reader that starts late")
    async def test_late(self, subject: Subject) -> None:
        async with fake_server(subject) as server:
            await server.begin(read=False, base=0.02, cap=0.05)
            for place in range(3):
                attempt = await resumed(server, 3 * min(place, 1), likely=BEHIND)
                await attempt.send(*(message(number, "Grace", "hello") for number in range(1, 4)))
                # Wait for the pong: then the client has received the messages before the ping.
                await server.messages_before_pong(attempt, likely=PINGS)
                attempt.drop()
                server.did = "messages 1 to 3 with one sender and text, and a lost connection, while no task iterates"
            attempt = await resumed(server, 3, likely=BEHIND)
            await attempt.send(message(4, "Grace", "hello"), gap(2), gap(2))
            await server.messages_before_pong(attempt, likely=PINGS)
            await server.do("read")
            server.did = (
                "three connections delivered messages 1 to 3, and a fourth one message 4 and two gaps of 2; then a "
                "reader started"
            )
            for number in (1, 2, 3, 4):
                await server.does("item", item=message(number, "Grace", "hello"), likely=NO_ITEM, wrong=AGAIN)
            for likely in (NO_ITEM, EACH_GAP):
                await server.does("item", item=gap(2), likely=likely)
            await server.quiet(likely=AGAIN)

    @check(1, "leaves no task behind, and lets each waiting send() fail")
    async def test_ends(self, subject: Subject) -> None:
        async with fake_server(subject) as server:
            for number in range(4):
                await self._ends(server, number)
            await server.begin(4, read=False, empty=True)
            await server.do("send", 4, text="too late")
            server.did = "async with whose block is empty, and then a call of send()"
            await server.does("failed", client=4, text="too late", likely=NEVER_STARTED)

    @staticmethod
    async def _ends(server: FakeServer, number: int) -> None:
        """End a client while it's connected, between two attempts, before the handshake response, or during a close."""
        await server.begin(number, base=5 if number == 1 else 0.05)
        attempt = await server.next_attempt(number, likely=CONNECTS)
        if number != 2:
            await attempt.accept()
        if number == 1:
            attempt.drop()
        for text in ("hello", "second"):
            await server.do("send", number, text=text)
        if number in (0, 3):
            await next_sent(server, attempt)
        if number == 3:
            attempt.begin_close(1012)
            await server.answer_to_close(attempt, likely=CONNECTS)
        # Let the client notice a lost connection, and begin its delay.
        for _ in range(ROUNDS):
            await server.handled()
        phases = "while it was connected", "before its second attempt", "during its handshake", "during a close"
        server.did = f"the end of async with {phases[number]}, with two calls of send() that wait"
        await ends(server, number, sends=2, with_error=number == 0)
        try:
            async with asyncio.timeout(server.patience):
                await attempt.connection.wait_closed()
        except TimeoutError:
            got, expect = "its TCP connection is still open", "the end of its TCP connection"
            raise server.failure(number, got=got, expect=expect, likely=SOCKET_LEFT) from None
