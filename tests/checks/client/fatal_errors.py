"""Step 09, TODO 5: fatal errors stop the client, and transient errors don't."""

import asyncio

from judge.fake_server import fake_server
from judge.members import Members, message
from judge.messages import show
from judge.model import Failure, check
from judge.rejoining import ack, error
from judge.subject import Subject

from .sent import PINGS, accepted, key_in, key_of, keys_are, next_sent

TRIED_AGAIN = (400, 404, 408, 426, 429, 500, 502, 503, 504)
"""The statuses of a handshake that are transient errors."""
UNKNOWN_HOST = "fails-2.invalid"
"""A host that the client's process resolves after two failed attempts; see client_driver.py."""
UNRESOLVED = (
    "Your client ends when a name can't be resolved. That raises socket.gaierror, which is an OSError. Catch OSError, "
    "and try again."
)
STOPS = (
    "Your client goes on after the close code 1008. Set stopped to it, end the loop, and let each waiting send() raise "
    "ConnectionError."
)
KEPT = (
    "Your client ends the iteration, or empties its inbox, when it stops. Return the items in the inbox first, and "
    "raise StopAsyncIteration when it's empty."
)
HALF_EMOJI = "\ud83d"
MAX_SIZE = 1 << 15
"""The size limit for a message in one check, in bytes. By default, uvicorn accepts 16 MiB."""
FINAL = (
    'Your client doesn\'t end a send() after an error with "retry": false, or it ends more than that. Let the send() '
    "with this key raise ValueError, and go on."
)
UNENCODABLE = (
    "Your client accepts a text that can't be encoded, and fails later, when it sends the text. Call text.encode() in "
    "send(), because that raises a ValueError."
)
ONE_AT_A_TIME = (
    "After a close with 1009, your client sends several messages without waiting, so it can't know which one is too "
    "large. Send each one after the acknowledgement of the one before."
)
TOO_LARGE = (
    "Your client sends a message again that got 1009 alone, or lets another send() fail. Let the send() of this one "
    "message raise ValueError, and go on with the others."
)


class FatalErrors:
    @check(5, "stops on fatal errors, and on no others")
    async def test_stops(self, subject: Subject) -> None:
        async with fake_server(subject) as server:
            for number, code in enumerate((1008, 4401, 401, 403)):
                await server.begin(number, base=0.02, cap=0.05)
                attempt = await server.next_attempt(number, likely="the client connects")
                if code > 999:
                    await attempt.accept()
                    await attempt.send(message(1, "Grace", "hello"))
                    await server.do("send", number, text="hello")
                    await key_of(server, attempt, "hello")
                    await attempt.close(code)
                    wanted = [("item", None), ("failed", None), ("over", code)]
                else:
                    attempt.refuse(code)
                    wanted = [("over", code)]
                server.did = f"the server {'closed with' if code > 999 else 'answered the handshake with HTTP'} {code}"
                likely = f"{code} is final: the iteration ends, send() raises ConnectionError, and stopped is {code}"
                got = [await server.next(number, expect="an end", likely=likely) for _ in wanted]
                ends = sorted((event["event"], event.get("stopped")) for event in got)
                if ends != sorted(wanted, key=str) and sorted(map(str, ends)) != sorted(map(str, wanted)):
                    raise Failure(after=server.did, got=show(ends), expect=show(sorted(wanted, key=str)), likely=likely)
                await server.do("send", number, text="too late")
                await server.does("failed", number, text="too late", likely=likely)
            await server.begin(9, base=0.02, cap=0.05)
            going_on = (
                "Your client stops for a code that isn't final. Stop on the close codes 1008 and 4401 and on HTTP 401 "
                "and 403, and try again after everything else."
            )
            for code in (1000, 1001, 1009, 1011, 1012, 1013, 4408, *TRIED_AGAIN):
                attempt = await server.next_attempt(9, likely=going_on)
                server.did = f"the server {'closed with' if code > 999 else 'answered the handshake with HTTP'} {code}"
                if code > 999:
                    await attempt.accept()
                    await attempt.close(code)
                else:
                    attempt.refuse(code)
            attempt = await server.next_attempt(9, likely=going_on)
            await attempt.accept()
            await attempt.send(message(1, "Grace", "hello"))
            await server.does("item", 9, item=message(1, "Grace", "hello"), likely=going_on)

    @check(5, "delivers the items in the inbox after a stop, and then ends")
    async def test_inbox_after_stop(self, subject: Subject) -> None:
        async with fake_server(subject) as server:
            await server.begin(read=False, base=0.02, cap=0.05)
            attempt = await accepted(server)
            items = [message(number, "Grace", f"text {number}") for number in (1, 2, 3)]
            await attempt.send(*items)
            await attempt.close(1008)
            server.did = "the server sent messages 1 to 3, and closed with 1008, before a reader started"
            # Wait until this send() fails: then the client has stopped.
            await server.do("send", text="too late")
            await server.does("failed", text="too late", likely=STOPS)
            await server.do("read")
            for item in items:
                await server.does("item", item=item, likely=KEPT)
            await server.does("over", stopped=1008, likely=STOPS)

    @check(5, "tries again while the server's name can't be resolved")
    async def test_name(self, subject: Subject) -> None:
        async with fake_server(subject) as server:
            await server.begin(host=UNKNOWN_HOST, base=0.02, cap=0.05)
            server.did = "two tries to resolve the name of the server that failed"
            attempt = await accepted(server, likely=UNRESOLVED)
            await attempt.send(message(1, "Grace", "hello"))
            await server.does(
                "item",
                item=message(1, "Grace", "hello"),
                likely="Your client doesn't deliver a message. Put each message object into the inbox.",
            )

    @check(5, "raises ValueError for a message that's rejected for good, and continues")
    async def test_never_accepted(self, subject: Subject) -> None:
        async with fake_server(subject) as server:
            await server.begin(base=0.02, cap=0.05)
            attempt = await accepted(server)
            texts = ["one", "never", "three"]
            for text in texts:
                await server.do("send", text=text)
            server.did = 'an error with "retry": false for the second of three messages'
            for number, text in enumerate(texts, 1):
                key = await key_of(server, attempt, text, likely=FINAL)
                if text == "never":
                    await attempt.send(error(key, retry=False))
                    await server.does("rejected", text=text, likely=FINAL)
                else:
                    await attempt.send(ack(key, number))
                    await server.does("sent", text=text, id=number, likely=FINAL)
            server.did = f"a call of send() with {HALF_EMOJI!r}, which is half an emoji, and a further one"
            for text in (HALF_EMOJI, "after it"):
                await server.do("send", text=text)
            got = await next_sent(server, attempt, likely=UNENCODABLE)
            if isinstance(got, dict) and got.get("text") == HALF_EMOJI:
                # The client may send it escaped in JSON. Then the server rejects it.
                await attempt.send(error(key_in(server, got, HALF_EMOJI), retry=False))
                got = await next_sent(server, attempt, likely=UNENCODABLE)
            await server.does("rejected", text=HALF_EMOJI, likely=UNENCODABLE)
            await attempt.send(ack(key_in(server, got, "after it", likely=UNENCODABLE), 5))
            await server.does("sent", text="after it", id=5, likely=UNENCODABLE)

    @check(5, "finds the message that's too large for the server, and sends the others")
    async def test_too_large(self, subject: Subject) -> None:
        await asyncio.gather(self._too_large(subject), self._too_large_for_uvicorn(subject))

    @staticmethod
    async def _too_large(subject: Subject) -> None:
        texts = ["one", "large", "three"]
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
                    await server.does("sent", text="one", id=1, likely=TOO_LARGE)
                    acknowledged = 1
            await attempt.close(1009)
            server.did = f"{len(keys) - acknowledged} messages without an acknowledgement, and a close with 1009"
            if len(keys) - acknowledged == 1:
                await server.does("rejected", text="large", likely=TOO_LARGE)
                acknowledged = 2
            attempt = await accepted(server)
            while acknowledged < len(texts):
                text = texts[acknowledged]
                key = await key_of(server, attempt, text, likely=TOO_LARGE)
                keys_are(server, [key], keys[acknowledged : acknowledged + 1] or [key])
                if more := await server.messages_so_far(attempt, likely=PINGS):
                    expect = f"no other message before the acknowledgement of {text!r}"
                    raise Failure(after=server.did, got=show(more), expect=expect, likely=ONE_AT_A_TIME)
                acknowledged += 1
                if text == "large":
                    await attempt.close(1009)
                    server.did = "a close with 1009, and again one for the second message alone"
                    await server.does("rejected", text=text, likely=TOO_LARGE)
                    attempt = await accepted(server)
                else:
                    await attempt.send(ack(key, acknowledged))
                    await server.does("sent", text=text, id=acknowledged, likely=TOO_LARGE)
            await server.do("send", text="large, alone")
            await key_of(server, attempt, "large, alone")
            await attempt.close(1009)
            server.did = "one message, and a close with 1009"
            await server.does("rejected", text="large, alone", likely=TOO_LARGE)
            attempt = await accepted(server)
            await server.do("send", text="after it")
            await attempt.send(ack(await key_of(server, attempt, "after it", likely=TOO_LARGE), 4))
            await server.does("sent", text="after it", id=4, likely=TOO_LARGE)

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
            await server.does("sent", text="one", id=1, likely=TOO_LARGE)
            await server.does("rejected", text="large ", likely=TOO_LARGE)
            await server.does("sent", text="three", id=2, likely=TOO_LARGE)
