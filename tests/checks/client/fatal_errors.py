"""Step 09, TODO 5: fatal errors stop the client, and transient errors don't."""

import asyncio
import contextlib
from http import HTTPStatus

from judge.client_evidence import OVERFLOW, show_event
from judge.fake_server import FATAL, ROUNDS, FakeServer, fake_server
from judge.members import Members, message
from judge.model import Failure, check
from judge.rejoining import ack, error
from judge.subject import Subject
from judge.tasks import running

from .limits import INBOX, WINDOW, WINDOW_ENDS
from .resume import SECOND_READER
from .sent import (
    ANSWERED,
    CONNECTS,
    LATE_WAITS,
    NO_ID,
    NO_ITEM,
    PINGS,
    READER_WAITS,
    accepted,
    ends,
    key_in,
    key_of,
    keys_are,
    next_sent,
    no_more_sent,
)

STATUSES = tuple(each.value for each in HTTPStatus if each >= 200 and each not in (*FATAL, 204, 205, 206, 304))
"""The statuses of a handshake that are transient errors; 200 is the page of a proxy, for example."""
CLOSE_CODES = (1000, 1001, 1002, 1003, 1007, 1010, 1011, 1012, 1013, 1014, 3000, 4000, 4400, 4403, 4404, 4408, 4999)
"""The close codes that are transient errors, whether or not a message is unacknowledged."""
GROUPS = 4
"""The clients among which they're divided."""
LEFT_OVER = 5
"""More unfinished tasks than on the first connection are left from earlier ones."""
ATTEMPTS = 1030
"""Failed attempts, more than a float allows for the power of 2."""
UNRESOLVED = (
    "Your client ends when a name can't be resolved. socket.gaierror is an OSError: catch OSError, and try again."
)
GOES_ON = (
    "Your client doesn't stop for {code}. After {how}, set self.stopped to the code, and end the loop that reconnects."
)
HOW_CLOSED = "a connection, test websocket.close_code in {1008, 4401}: if it is"
HOW_REFUSED = "except InvalidStatus as error:, test error.response.status_code in {401, 403}: if it is"
STILL_WAITS = (
    "Your client has stopped, and a send() still waits. After the loop, set ConnectionError as the exception of every "
    "future in self._unacknowledged that isn't done."
)
OTHER_CODE = "Your client sets stopped to another value. Set it to the code itself, as an int."
CONTINUES = (
    "Your client doesn't reconnect after this code. Let the loop continue after every code except 1008, 4401, and HTTP "
    "401 and 403."
)
TASKS_STAY = (
    "Each connection of your client leaves a task behind. Cancel and await the tasks of a connection when it ends, or "
    "create them in a TaskGroup."
)
KEPT = (
    "When your client stops, its inbox is emptied, or the iteration ends before it's empty. Don't clear self._inbox, "
    "and in __anext__() raise StopAsyncIteration only if it's empty."
)
HALF_EMOJI = "\ud83d"
BUSY = 20.0
"""Seconds for the connection after a thousand attempts. On a busy machine, those take several."""
MAX_SIZE = 1 << 15
"""The size limit for a message in one check, in bytes. By default, uvicorn accepts 16 MiB."""
NOT_RAISED = (
    'After an error with "retry": false, the send() of its key still waits. Set a ValueError as the exception of the '
    "future with this key, and remove the key."
)
RETRIED = (
    'Your client treats an error with "retry": false like one with true, and sends the message again. Test retry: for '
    "false, remove the key, and set a ValueError as the exception of its future."
)
OTHER_REJECTED = (
    "Another send() raises ValueError than the one whose message was rejected. Look up the key of the error, and set "
    "the exception of that future only."
)
REJECTED_AGAIN = (
    'Your client sends a message again that an error with "retry": false has rejected. Remove its key from '
    "self._unacknowledged."
)
UNENCODABLE = (
    "Your send() accepts half an emoji. json.dumps() escapes it, so nothing fails in your client. Call text.encode() "
    "first in send(): it raises UnicodeEncodeError, which is a ValueError."
)
UNENCODABLE_WRITER = (
    "Your send() accepts half an emoji, and the writer can't encode it. Call text.encode() first in send(): it raises "
    "UnicodeEncodeError, which is a ValueError."
)
UNENCODABLE_LATE = (
    "Your send() waits before it raises ValueError for half an emoji. Call text.encode() in its first line, before it "
    "waits for a place or for the connection."
)
ONE_AT_A_TIME = (
    "After a close with 1009, your client sends several messages without waiting, so it can't know which one is too "
    "large. Send each one after the acknowledgement of the one before."
)
TOO_LARGE = (
    "Your client doesn't reject the message that got 1009 alone. If exactly one message was sent on the connection and "
    "isn't acknowledged, set a ValueError as the exception of its future."
)
NOT_ALONE = (
    "Your client rejects a message after a 1009, although others were unacknowledged too. Reject it only if it's the "
    "only one; otherwise send them one at a time."
)
ALL_REJECTED = (
    "After a close with 1009, your client rejects every unacknowledged message, although only one is too large. If "
    "several were sent, reject none: reconnect, and send them one at a time."
)
NOT_AGAIN = (
    "After a close with 1009, your client doesn't send the remaining messages. Reconnect, and send them one at a time, "
    "from the first one on."
)
NOT_TO_THE_END = (
    "Your client doesn't use everything that arrived before its connection ended. Receive until recv() raises "
    "ConnectionClosed, also when the connection has a close code already."
)


class FatalErrors:
    @check(5, "stops on fatal errors, and on no others")
    async def test_stops(self, subject: Subject) -> None:
        async with fake_server(subject) as server:
            stopping = [(code, later) for later in (False, True) for code in FATAL]
            await asyncio.gather(*(self._stops(server, client, *each) for client, each in enumerate(stopping)))
            first = len(stopping)
            await asyncio.gather(*(self._continues(server, first + group, group) for group in range(GROUPS)))

    @staticmethod
    async def _stops(server: FakeServer, client: int, code: int, later: bool) -> None:
        """Stop a client in its first connection, or in its third, with an acknowledged and another message."""
        await server.begin(client, base=0.02, cap=0.05)
        for text in ("one", "two"):
            await server.do("send", client, text=text)
        if later:
            (await server.next_attempt(client, likely=CONNECTS)).refuse(503)
            (await accepted(server, client)).drop()
        attempt = await server.next_attempt(client, likely=CONNECTS)
        events = [{"event": "failed", "text": "two"}, {"event": "over", "stopped": code}]
        goes_on = GOES_ON.format(code=code, how=HOW_CLOSED if code > 999 else HOW_REFUSED)
        which = "the third attempt" if later else "the first attempt"
        if code > 999:
            await attempt.accept()
            keys = [await key_of(server, attempt, text) for text in ("one", "two")]
            item = message(1, "Ada", "one")
            await attempt.burst(item, ack(keys[0], 1), code=code)
            events += [{"event": "item", "item": item}, {"event": "sent", "text": "one", "id": 1}]
            did = f"{which}, a message, the ack of the first of two messages, and a close with {code} in one packet"
        else:
            attempt.refuse(code)
            events.append({"event": "failed", "text": "one"})
            did = f"HTTP {code} for {which}, while two calls of send() wait"
        left = [each | {"client": client} for each in events]
        while left:
            server.did = did
            try:
                got = await server.next(client, expect=f"the iteration ended, and stopped is {code}", likely=goes_on)
            except Failure as failure:
                if server.attempts(client).empty() and {each["event"] for each in left} == {"failed"}:
                    failure.likely = STILL_WAITS
                elif {each["event"] for each in left} == {"over"}:
                    failure.likely = READER_WAITS
                raise
            if got not in left:
                likely = SECOND_READER
                if got["event"] == "over":
                    likely = OTHER_CODE
                wanted = next((each for each in left if each["event"] == got["event"]), left[0])
                failure = await server.differs(client, got, wanted, [], likely=likely)
                failure.likely = likely
                raise failure
            left.remove(got)
        await server.do("send", client, text="too late")
        await server.does("failed", client, text="too late", likely=LATE_WAITS)
        await ends(server, client, sends=0, stopped=code)
        if not server.attempts(client).empty():
            raise server.failure(client, got="a further attempt", expect="none", likely=goes_on)

    @staticmethod
    async def _continues(server: FakeServer, client: int, group: int) -> None:
        """Close connections and refuse handshakes with transient errors, while a message is unacknowledged."""
        await server.begin(client, base=0.01, cap=0.01)
        codes = [*CLOSE_CODES[group::GROUPS], *STATUSES[group::GROUPS]]
        before = None
        if group == 0:
            # No message is sent: with one, 1009 rejects it.
            codes += [1009]
        else:
            await server.do("send", client, text="hello")
        for code in codes:
            attempt = await server.next_attempt(client, likely=CONTINUES)
            server.did = f"the server {'closed with' if code > 999 else 'answered the handshake with HTTP'} {code}"
            if code > 999:
                await attempt.accept()
                if before is None:
                    before = (await server.ask("state", "state", of=client))["tasks"]
                await attempt.close(code)
            else:
                attempt.refuse(code)
        attempt = await accepted(server, client, likely=CONTINUES)
        if group:
            await attempt.send(ack(await key_of(server, attempt, "hello"), 1))
            await server.does("sent", client, text="hello", id=1, likely=NO_ID)
        else:
            await attempt.send(message(1, "Grace", "hello"))
            await server.does("item", client, item=message(1, "Grace", "hello"), likely=NO_ITEM)
        state = await server.ask("state", "state", of=client)
        server.did = f"{len(codes)} connections and handshakes that ended with transient errors"
        if state["stopped"] is not None:
            got = f"stopped is {state['stopped']!r} while the client runs"
            raise server.failure(client, got=got, expect="stopped is None", likely=CONTINUES)
        if len(state["tasks"]) > len(before or ()) + LEFT_OVER:
            got = f"{len(state['tasks'])} unfinished tasks, such as {state['tasks'][-1]}"
            expect = f"about {len(before or ())}, as on the first connection"
            raise server.failure(client, got=got, expect=expect, likely=TASKS_STAY)
        server.did += ", and then HTTP 403"
        attempt.drop()
        (await server.next_attempt(client, likely=CONNECTS)).refuse(403)
        await server.does("over", client, stopped=403, likely=GOES_ON.format(code=403, how=HOW_REFUSED))

    @check(5, "delivers the items in the inbox after a stop, and then ends")
    async def test_inbox_after_stop(self, subject: Subject) -> None:
        async with fake_server(subject) as server:
            for client, count in enumerate((3, INBOX)):
                await server.begin(client, read=False, base=0.02, cap=0.05)
                attempt = await accepted(server, client)
                items = [message(number, "Grace", f"text {number}") for number in range(1, count + 1)]
                await attempt.send(*items[:-1])
                await server.messages_before_pong(attempt, likely=PINGS)
                await attempt.send(items[-1])
                # Let the client receive the last one. If its inbox is full then, it may receive nothing more.
                for _ in range(ROUNDS):
                    await server.handled()
                await attempt.close(1008)
                server.did = f"the server sent messages 1 to {count}, and closed with 1008, before a reader started"
                # Wait until this send() fails: then the client has stopped.
                await server.do("send", client, text="too late")
                await server.does("failed", client, text="too late", likely=GOES_ON.format(code=1008, how=HOW_CLOSED))
                await server.do("read", client)
                for item in items:
                    await server.does("item", client, item=item, likely=KEPT, wrong=KEPT)
                await server.does("over", client, stopped=1008, likely=READER_WAITS)
            await self._stops_when_full(server, 2)
            await self._reads_to_the_end(server, 3)

    @staticmethod
    async def _reads_to_the_end(server: FakeServer, client: int) -> None:
        """Stop a client whose inbox has no room for the last messages, which arrive in one packet with the close."""
        items = [message(number, "Grace", f"text {number}") for number in range(1, INBOX + 3)]
        await server.begin(client, read=False, base=0.02, cap=0.05)
        attempt = await accepted(server, client)
        await server.do("send", client, text="one")
        key = await key_of(server, attempt, "one")
        await attempt.send(*items[:INBOX])
        server.did = (
            f"the server sent {INBOX} messages, and then two more, an ack and a close with 1008 in one packet, before "
            "a reader started"
        )
        async with running(attempt.burst(*items[INBOX:], ack(key, INBOX + 3), code=1008)):
            for _ in range(ROUNDS):
                await server.handled()
            await server.do("read", client)
            expect = f"{len(items)} items, and send('one') returns {INBOX + 3}"
            events = [await server.next(client, expect=expect, likely=NOT_TO_THE_END) for _ in range(len(items) + 1)]
            others = [event for event in events if event["event"] != "item"]
            if [event["item"] for event in events if event["event"] == "item"] != items or others[0]["event"] != "sent":
                got = f"{len(events) - len(others)} items, and {' and '.join(map(show_event, others[:2]))}"
                raise server.failure(client, got=got, expect=expect, likely=NOT_TO_THE_END)
            await server.does("over", client, stopped=1008, likely=READER_WAITS)

    @staticmethod
    async def _stops_when_full(server: FakeServer, client: int) -> None:
        """Stop a client that has 100 unacknowledged messages while more calls of send() wait for a place."""
        texts = [f"text {number}" for number in range(WINDOW + 5)]
        await server.begin(client, base=0.02, cap=0.05)
        attempt = await accepted(server, client)
        for text in texts:
            await server.do("send", client, text=text)
        await server.handled()
        await attempt.close(1008)
        server.did = f"{len(texts)} calls of send(), and a close with 1008"
        failed = [{"event": "failed", "text": text} for text in texts]
        await server.all_of(*failed, {"event": "over", "stopped": 1008}, client=client, likely=WINDOW_ENDS)

    @check(5, "tries again while the server's name can't be resolved")
    async def test_name(self, subject: Subject) -> None:
        async with fake_server(subject) as server:
            for client, failing in enumerate((2, ATTEMPTS)):
                delay = 1e-6 if failing > 2 else 0.02
                await server.begin(client, host=f"fails-{failing}.invalid", base=delay, cap=delay)
                server.did = f"{failing} attempts whose name couldn't be resolved, with cap={delay:g}"
                likely = UNRESOLVED if failing == 2 else OVERFLOW
                attempt = await server.next_attempt(client, likely=likely, seconds=BUSY if failing > 2 else 0)
                await attempt.accept()
                await attempt.send(message(1, "Grace", "hello"))
                await server.does("item", client, item=message(1, "Grace", "hello"), likely=NO_ITEM)

    @check(5, "raises ValueError for a message that's rejected for good, and continues")
    async def test_never_accepted(self, subject: Subject) -> None:
        async with fake_server(subject) as server:
            await server.begin(base=0.02, cap=0.05)
            attempt = await server.next_attempt(likely=CONNECTS)
            server.did = f"a call of send() with {HALF_EMOJI!r}, which is half an emoji, before the first connection"
            await server.do("send", text=HALF_EMOJI)
            await server.handled()
            await server.handled()
            early = not server.events(0).empty()
            await attempt.accept()
            texts = ["one", "never", "three"]
            for text in texts:
                await server.do("send", text=text)
            if not early:
                try:
                    got = await next_sent(server, attempt)
                except Failure as failure:
                    failure.likely = UNENCODABLE_WRITER
                    raise
                sent = isinstance(got, dict) and got.get("text") == HALF_EMOJI
                likely = UNENCODABLE if sent else UNENCODABLE_LATE
                got = "the message with half an emoji" if sent else "no exception before the first connection"
                raise server.failure(0, got=got, expect="send() raises ValueError immediately", likely=likely)
            await server.does("rejected", text=HALF_EMOJI, likely=UNENCODABLE)
            server.did = 'an error with "retry": false for the second of three messages, and one with an unknown key'
            keys: dict[str, str] = {}
            # A client may send the next message only after the answer to the one before.
            while len(keys) < len(texts):
                sent_now = [await next_sent(server, attempt), *await server.messages_so_far(attempt, likely=PINGS)]
                for got in sent_now:
                    text = texts[len(keys)]
                    keys[text] = key_in(server, got, text)
                if "never" in keys and "three" not in keys:
                    break
                if "never" not in keys:
                    await attempt.send(ack(keys["one"], 1))
                    await server.does("sent", text="one", id=1, likely=NO_ID)
            await attempt.send(error("unknown", retry=False), error(keys["never"], retry=False))
            try:
                await server.does("rejected", text="never", likely=NOT_RAISED, wrong=OTHER_REJECTED)
            except Failure as failure:
                if failure.likely == NOT_RAISED:
                    # A look at what it did instead.
                    with contextlib.suppress(Failure):
                        more = await server.messages_so_far(attempt, likely=PINGS)
                        if any(isinstance(each, dict) and each.get("key") == keys["never"] for each in more):
                            failure.got, failure.likely = f"{failure.got}, and the message 'never' again", RETRIED
                raise
            attempt.drop()
            server.did += ", and a lost connection"
            attempt = await accepted(server)
            for number, text in ((1, "one"), (2, "three")):
                key = await key_of(server, attempt, text, wrong=REJECTED_AGAIN)
                await attempt.send(ack(key, number))
                await server.does("sent", text=text, id=number, likely=NO_ID)
            await no_more_sent(server, attempt, likely=ANSWERED)
            await server.quiet(likely=OTHER_REJECTED)

    @check(5, "finds the message that's too large for the server, and sends the others")
    async def test_too_large(self, subject: Subject) -> None:
        await asyncio.gather(self._too_large(subject), self._too_large_for_uvicorn(subject))

    @staticmethod
    async def _too_large(subject: Subject) -> None:
        texts = ["one", "large", "three", "four"]
        async with fake_server(subject) as server:
            await server.begin(base=0.02, cap=0.05)
            attempt = await accepted(server)
            for text in texts:
                await server.do("send", text=text)
            await server.handled()
            # Collect the keys of the received messages. A client may send the second one only after the first ack.
            keys: list[str] = []
            acknowledged = 0
            while len(keys) < 2:
                sent = [await next_sent(server, attempt), *await server.messages_so_far(attempt, likely=PINGS)]
                keys += [key_in(server, got, text) for got, text in zip(sent, texts[len(keys) :], strict=False)]
                if len(keys) < 2:
                    await attempt.send(ack(keys[0], 1))
                    await server.does("sent", text="one", id=1, likely=NO_ID)
                    acknowledged = 1
            await attempt.close(1009)
            server.did = f"{len(keys) - acknowledged} messages without an acknowledgement, and a close with 1009"
            if len(keys) - acknowledged == 1:
                await server.does("rejected", text="large", likely=TOO_LARGE)
                acknowledged = 2
            attempt = await accepted(server)
            await FatalErrors._rejects_none(server)
            lost = found = False
            while acknowledged < len(texts):
                text = texts[acknowledged]
                key = await key_of(server, attempt, text, likely=NOT_AGAIN, wrong=NOT_AGAIN)
                keys_are(server, [key], keys[acknowledged : acknowledged + 1] or [key])
                # When the message is found, the client may send the others together.
                if not found and (more := await server.messages_so_far(attempt, likely=PINGS)):
                    expect = f"no other message before the acknowledgement of {text!r}"
                    got = f"the message {more[0].get('text') if isinstance(more[0], dict) else more[0]!r} too"
                    raise server.failure(0, got=got, expect=expect, likely=ONE_AT_A_TIME, crash=False)
                await server.quiet(likely=NOT_ALONE)
                if text == "one" and not lost:
                    # A lost connection doesn't end the search.
                    lost = True
                    attempt.drop()
                    server.did += ", and a lost connection while its messages are sent one at a time"
                    attempt = await accepted(server)
                    continue
                acknowledged += 1
                if text == "large":
                    found = True
                    await attempt.close(1009)
                    server.did = f"a close with 1009 for several messages, and another one for {text!r} alone"
                    await server.does("rejected", text=text, likely=TOO_LARGE, wrong=NOT_ALONE)
                    attempt = await accepted(server)
                else:
                    await attempt.send(ack(key, acknowledged))
                    await server.does("sent", text=text, id=acknowledged, likely=NO_ID, wrong=NOT_ALONE)
            await server.do("send", text="large, alone")
            await key_of(server, attempt, "large, alone")
            await attempt.close(1009)
            server.did = "one message, and a close with 1009"
            await server.does("rejected", text="large, alone", likely=TOO_LARGE)
            attempt = await accepted(server)
            await server.do("send", text="after it")
            await attempt.send(ack(await key_of(server, attempt, "after it", wrong=ANSWERED), 4))
            await server.does("sent", text="after it", id=4, likely=NO_ID)
            await no_more_sent(server, attempt, likely=ANSWERED)

    @staticmethod
    async def _rejects_none(server: FakeServer) -> None:
        """Check that no send() has ended after a close with 1009 for several messages."""
        await server.handled()
        ended = []
        while not server.events(0).empty():
            ended.append(await server.next(expect="nothing more", likely=NOT_ALONE))
        if not ended:
            return
        failure = await server.differs(0, ended[0], None, [], likely=NOT_ALONE, expect="no end of a send()")
        rejected = [each for each in ended if each["event"] == "rejected"]
        if len(rejected) == len(ended):
            failure.got = f"send() raised ValueError for {', '.join(repr(each['text']) for each in rejected)}"
            failure.likely = ALL_REJECTED if len(rejected) > 1 else NOT_ALONE
        raise failure

    @staticmethod
    async def _too_large_for_uvicorn(subject: Subject) -> None:
        # Allow errors in the log: the checks of step 07 cover sends to a connection that uvicorn has closed.
        small = subject.another(noisy=True, UVICORN_WS_MAX_SIZE=str(MAX_SIZE))
        async with small as own, fake_server(subject) as server:
            url = own.server.ws(Members.path(Members.room(), "Ada"))
            await server.begin(url=url, base=0.02, cap=0.05, read=False)
            for text, times in (("one", 1), ("large ", MAX_SIZE), ("three", 1)):
                await server.do("send", text=text, times=times)
            server.did = f"three messages, of which the second one is above {MAX_SIZE} bytes, the server's limit"
            await server.does("sent", text="one", id=1, likely=NOT_AGAIN, wrong=NOT_ALONE)
            await server.does("rejected", text="large ", likely=TOO_LARGE, wrong=NOT_ALONE)
            await server.does("sent", text="three", id=2, likely=NOT_AGAIN, wrong=NOT_ALONE)
