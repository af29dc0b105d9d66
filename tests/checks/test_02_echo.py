"""Step 02: the checks of the exercise."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

from judge import pool
from judge.clients import Client
from judge.conversation import pause
from judge.flood import Requests
from judge.messages import is_error, is_message, show
from judge.model import Failure, Likely, check
from judge.subject import Subject
from judge.tasks import spawn

WELCOME = {"type": "welcome"}
ENDS = ("leave", "finish", "reset")
BINARIES = {
    b"\x00\x01": "bytes that aren't text",
    b"": "an empty binary message",
    b"\xff\xfe": "bytes that aren't UTF-8",
    b'{"type": "echo", "text": "binary"}': "a request as bytes",
    b'{"type": "bye"}': "a bye as bytes",
}
PARSE = "Catch the error that parsing raises, send an error, and go on: no break and no return."
ONCE = "Parse once, and don't search the raw text. What json.loads() returns here is a string, not an object."
OBJECT = "Ask isinstance(data, dict) before you look for a key, or let a Pydantic model do it."
TYPE = "Compare the type with the exact strings that Make names."
TEXT = "Accept text only if isinstance(text, str) holds; Pydantic's str does that without converting."
NOT_REQUESTS = {
    "hello": ("a text that isn't JSON", PARSE),
    "": ("an empty text message", PARSE),
    '{"type": "echo", "text": "no end': ("JSON that is cut", PARSE),
    '{"type": "echo", "text": "one"} {"type": "echo", "text": "two"}': ("two objects in one message", PARSE),
    " \n": ("a blank message", "Your code skips it. Send the error there too: it isn't JSON."),
    "bye": ("the bare word bye", PARSE),
    "ping": ("the bare word ping", "It isn't JSON, so it gets the error too, and no answer of its own."),
    "{'type': 'echo', 'text': 'in Python'}": ("a dict as Python writes it", PARSE),
    "[]": ("a list", OBJECT),
    '[{"type": "echo", "text": "in a list"}]': ("a request in a list", OBJECT),
    '["type", "text"]': ("a list of the keys' names", OBJECT),
    "null": ("null", OBJECT),
    "42": ("a number", OBJECT),
    "true": ("a boolean", OBJECT),
    '"echo"': ("a string", OBJECT),
    '"{\\"type\\": \\"bye\\"}"': ("a string that holds a request", ONCE),
    "{}": ("an empty object", TYPE),
    '{"text": "no type"}': ("a type that is missing", TYPE),
    '{"type": "shout", "text": "unknown type"}': ("an unknown type", TYPE),
    '{"type": "ECHO", "text": "upper case"}': ("a type in upper case", TYPE),
    '{"type": "ech", "text": "a part of the type"}': ("a part of a type", TYPE),
    '{"type": "", "text": "an empty type"}': ("an empty type", TYPE),
    '{"type": "echo ", "text": "a blank too many"}': ("a type with a blank behind it", TYPE),
    '{"type": "echoes", "text": "a longer type"}': ("a type that begins like a known one", TYPE),
    '{"type": "Bye"}': ("a Bye with a capital letter", TYPE),
    '{"type": "goodbye"}': ("a type that ends like a known one", TYPE),
    '{"type": null, "text": "no type"}': ("a type that is null", TYPE),
    '{"type": 1, "text": "a number"}': ("a type that is a number", TYPE),
    '{"type": ["echo"], "text": "type is a list"}': ("a type that is a list", TYPE),
    '{"type": {"echo": 1}, "text": "type is an object"}': ("a type that is an object", TYPE),
    '{"Type": "echo", "text": "another key"}': ("a key in another case", TYPE),
    '{"type": "echo"}': ("a text that is missing", TEXT),
    '{"type": "echo", "Text": "another key"}': ("a text under another key", TEXT),
    '{"type": "echo", "text": null}': ("a text that is null", TEXT),
    '{"type": "echo", "text": 5}': ("a text that is a number", TEXT),
    '{"type": "echo", "text": 0}': ("a text that is 0", TEXT),
    '{"type": "echo", "text": true}': ("a text that is true", TEXT),
    '{"type": "echo", "text": false}': ("a text that is false", TEXT),
    '{"type": "echo", "text": ["a list"]}': ("a text that is a list", TEXT),
    '{"type": "echo", "text": {"an": "object"}}': ("a text that is an object", TEXT),
}
"""Messages that must be answered with an error, each with its description and a fix."""
STRANGE = {
    '{"type": "echo", "text": "\\ud83d"}': "half an emoji as \\ud83d",
    '{"type": "echo", "text": "\\udc00 back to front \\ud800"}': "two halves in the wrong order",
    '{"type": "echo", "text": "x", "\\ud83d": 1}': "half an emoji in a further key",
}
DEEP = {
    "[" * 100_000: "100,000 opening brackets",
    "[" * 100_000 + "]" * 100_000: "a list that is nested 100,000 deep",
    '{"a":' * 100_000 + "1" + "}" * 100_000: "an object that is nested 100,000 deep",
    '{"type": "echo", "text": "x", "more": ' + "[" * 100_000 + "]" * 100_000 + "}": "a request with a deep further key",
}
NUMBERS = {
    '{"type": "echo", "text": "x", "n": 1e999}': "a number that is too big for a float",
    '{"type": "echo", "text": "x", "n": ' + "9" * 5000 + "}": "a number of 5,000 digits",
    '{"type": "echo", "text": "x", "n": NaN}': "NaN, which Python writes and JSON doesn't have",
    '{"type": "echo", "text": "x", "n": -Infinity}': "-Infinity, which Python writes and JSON doesn't have",
    '{"type": "shout", "type": "echo", "text": "x"}': "a key that is there twice",
    '\ufeff{"type": "echo", "text": "x"}': "a byte order mark before the object",
}
TOO_MANY = "Another client gets an error for this, so your code limits the number of errors. Answer every message."
ONE_ERROR = "Your endpoint ends after an error. Send the error, and go on in the loop: no break and no return."
PARSER = "Parse the text with json.loads() or Pydantic, and compare what they return."
ONE_AT_A_TIME = "Answer each message before you read the next one: receive, send and loop in one place, without tasks."
BLOCKS = "Something blocks the event loop, so clients wait for each other. Use await asyncio.sleep, not time.sleep."
CLOSES = (
    "Your code closes the connection after an echo. Close it only after a bye: move close() into the branch for a bye."
)
LEFT_OVER = (
    "After a client has disconnected, its endpoint goes on and blocks the others. End its loop when it disconnects."
)
BURST = 1100
"""Requests in one packet."""
MANY = 105
"""Connections that end in each way, one after another."""
PAUSE = 1.05
"""Seconds for which a client reads nothing: longer than the second in which it must get its answers."""


def echo(text: str, count: int) -> dict[str, object]:
    """Return an echo as the client receives it."""
    return {"type": "echo", "text": text, "count": count}


@contextlib.asynccontextmanager
async def greeted(subject: Subject, who: str | None = None, *, small_buffers: bool = False) -> AsyncIterator[Client]:
    """Open a client, and read its welcome."""
    async with subject.client(who=who, small_buffers=small_buffers) as client:
        await client.gets(
            WELCOME,
            likely=Likely(
                silence="Your endpoint sends nothing before its loop reads. Send the welcome right after accept().",
                elsewhere="The welcome goes to another connection. Send it with the websocket of this call.",
            ),
        )
        yield client


async def echoes(client: Client, text: str, count: int, *, likely: str | Likely) -> None:
    """Send an echo request, and check its answer."""
    await client.send({"type": "echo", "text": text})
    await client.gets(echo(text, count), likely=likely)


async def goes_on(client: Client, message: str, what: str, cause: str) -> None:
    """Send an unusual message, and check that it's answered with an echo or an error."""
    await client.send(message)
    client.did = f"{what}: {show(message)}"
    frame = await client.next(
        expect="an echo or an error, and the connection still open", likely=Likely(cause, closed=cause)
    )
    if not is_error(frame) and not is_message(frame, echo("x", 1)):
        with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
            value = json.loads(frame)
            if value == {"type": "echo", "text": json.loads(message)["text"], "count": value["count"]}:
                return
        raise Failure(
            sent=client.did,
            got=show(frame),
            expect="an echo with the same text, or an error",
            likely="The text was changed. If you can't send it as it was, answer with an error.",
        )


class TestExercise:
    leaving = 6

    @check(1, "greets with a welcome")
    async def test_welcome(self, subject: Subject) -> None:
        async with greeted(subject) as ada:
            await ada.has_nothing_more(
                likely="The welcome is sent twice, or something follows it. Send it once, before the loop."
            )
        # A welcome is late if it takes more than a second while another request is answered.
        async with subject.client() as ada:
            prompt = spawn(ada.next(expect="the welcome", likely="Nothing is sent after the handshake."))
            await asyncio.wait([prompt], timeout=PAUSE)
            # The server answers, so a busy machine isn't the reason.
            await subject.get("/still-there", likely=BLOCKS)
            if not prompt.done():
                raise Failure(
                    sent="a handshake",
                    got=f"no welcome within {PAUSE:g} s, while the server answered another request",
                    expect="the welcome within a second",
                    likely="Something waits between accept() and the welcome. Send the welcome first.",
                )
            await prompt

    @check(2, "echoes and counts")
    async def test_echo(self, subject: Subject) -> None:
        async with greeted(subject, "Ada") as ada, greeted(subject, "Grace") as grace:
            elsewhere = (
                "The answer goes to another connection, because your code keeps the websocket outside the endpoint. "
                "Send with the websocket of this call."
            )
            first = Likely(
                silence="Your loop receives this and sends nothing. Send the echo with websocket.send_json().",
                wrong="An echo has exactly the keys type, text and count.",
                elsewhere=elsewhere,
            )
            await echoes(ada, "hello", 1, likely=first)
            repeated = "A text that was sent before isn't answered again. Answer every request, also an equal one."
            await echoes(ada, "hello", 2, likely=Likely(silence=repeated, closed=CLOSES, elsewhere=elsewhere))
            shared = (
                "The count belongs to several connections: to all, or to those of one address or cookie. Keep it in a "
                "local variable of the endpoint: each connection has its own call."
            )
            await echoes(
                grace, "hi", 1, likely=Likely(silence=first.silence, keys={"count": shared}, elsewhere=elsewhere)
            )
            await echoes(ada, "hello again", 3, likely=Likely(silence=first.silence, elsewhere=elsewhere))
            for number in range(4, 24):
                stops = "The count or the answers stop after some messages."
                await echoes(ada, f"message {number}", number, likely=stops)
            await grace.has_nothing_more()
        async with greeted(subject, "a third client") as third:
            goes_on = "The count goes on from a connection before. Set it to 0 in the endpoint."
            await echoes(third, "hello", 1, likely=goes_on)

    @check(2, "echoes any text, from any JSON")
    async def test_values(self, subject: Subject) -> None:
        async with greeted(subject) as ada:
            count = 0
            for kind, text in pool.texts().items():
                count += 1
                refused = f"A text of this kind is refused: {kind}. Accept every string."
                if not text:
                    refused = "An empty text is taken for a missing one. Ask isinstance(text, str), not its truth."
                elif kind == "long":
                    refused = "Your code limits the length of a text. Accept every string."
                try:
                    await echoes(ada, text, count, likely=Likely(silence=refused, wrong=refused))
                except Failure as failure:
                    # Send it again later: the cause may be a rate limit, not this text.
                    await asyncio.sleep(PAUSE)
                    await ada.send({"type": "echo", "text": text})
                    if any([await ada.receives(echo(text, other)) for other in (count, count + 1)]):
                        failure.likely = (
                            "The same text is echoed later, so your code limits the rate. Answer all requests."
                        )
                    raise
            for kind, spelling in pool.spellings({"type": "echo", "text": "Straße 1"}).items():
                count += 1
                await ada.send(spelling)
                if "count" in kind:
                    likely = "Your code checks a key count in the request. Make has none there, so ignore it."
                elif "further keys" in kind:
                    likely = "A request with further keys is refused. Ignore keys that you don't need."
                else:
                    likely = f"Your code doesn't read this as JSON: it's the same object, {kind}. {PARSER}"
                await ada.gets(echo("Straße 1", count), likely=likely)
            await ada.has_nothing_more()

    @check(2, "answers a burst of messages, one by one and in their order")
    async def test_burst(self, subject: Subject) -> None:
        async with greeted(subject) as ada:
            texts = [f"burst {number}" for number in range(1, BURST + 1)]
            await ada.send_burst(*({"type": "echo", "text": text} for text in texts))
            lost = "Messages that arrive together get lost: in a queue that is full, or by a limit. "
            order = "Answers overtake each other. "
            likely = Likely(
                silence=lost + ONE_AT_A_TIME, wrong=lost + ONE_AT_A_TIME, order=order + ONE_AT_A_TIME, closed=lost
            )
            await ada.gets_all([echo(text, number) for number, text in enumerate(texts, start=1)], likely=likely)
            await ada.has_nothing_more()
        async with greeted(subject, "Ada") as ada, greeted(subject, "Grace") as grace:
            mine = {client: [f"{client.who} {number}" for number in range(1, 41)] for client in (ada, grace)}
            await subject.simultaneously(
                *(
                    client.send_burst(*({"type": "echo", "text": text} for text in texts))
                    for client, texts in mine.items()
                )
            )
            mixed = "Two connections share a variable, so one gets the other's text. Keep the request in a local one."
            for client, texts in mine.items():
                likely = Likely(silence=lost, wrong=mixed, elsewhere=mixed)
                await client.gets_all([echo(text, number) for number, text in enumerate(texts, start=1)], likely=likely)

    @check(2, "waits for a client that pauses, without piling up its messages", pauses=True)
    async def test_pause(self, subject: Subject) -> None:
        async with (
            greeted(subject, "Ada", small_buffers=True) as ada,
            greeted(subject, "Grace") as grace,
            greeted(subject, "Linus") as silent,
        ):
            async with Requests(ada) as requests:
                await requests.until_stuck(subject)
                if requests.all_sent:
                    raise Failure(
                        sent=f"{requests.sent} requests of 256 KiB, by a client that reads no answers",
                        got="all of them were read, so the server keeps them, or their answers, in its memory",
                        expect="the server stops reading until the client has read its answers",
                        likely="Each message gets a task, or goes into a queue without a bound. " + ONE_AT_A_TIME,
                    )
                stuck = (
                    "Another client waits for the one that reads nothing, for example for a lock. Send without a lock."
                )
                await echoes(grace, "meanwhile", 1, likely=stuck)
                await pause(PAUSE)
                paused = "A client that pauses is taken for a disconnected one. Don't limit the time of a send."
                await requests.are_answered(
                    after=f"the client paused for {PAUSE:g} s, and reads on",
                    likely=Likely(paused, closed=paused),
                )
            idle = f"A client that sends nothing for {PAUSE:g} s is dropped. Don't limit the time of a receive."
            ping = "Your code sends something of its own to a silent client. Answer messages, and send nothing else."
            silent.did = f"an echo request, after {PAUSE:g} s of silence"
            await echoes(silent, "still here", 1, likely=Likely(silence=idle, closed=idle, surplus=ping))

    @check(3, "answers anything else with an error")
    async def test_error(self, subject: Subject) -> None:
        async with greeted(subject) as ada:
            count = 1
            await echoes(ada, "before", count, likely="The first echo counts 1.")
            for number, (message, (what, fix)) in enumerate(NOT_REQUESTS.items(), start=1):
                await ada.send(message)
                ada.did = f"{what}: {show(message)}"
                try:
                    await ada.gets_error(
                        likely=Likely(
                            silence=f"Nothing answers {what}. {fix}",
                            wrong=f"Your code accepts {what}. {fix}",
                            closed=f"Your endpoint ends at {what}. {fix}",
                        )
                    )
                except Failure as failure:
                    # Send it on another connection: the cause may be the number of earlier errors, not this message.
                    async with greeted(subject, "another client") as other:
                        await other.send(message)
                        if (frame := await other.receives_any()) is not None and is_error(frame):
                            await other.send("not JSON either")
                            goes_on = (frame := await other.receives_any()) is not None and is_error(frame)
                            failure.likely = TOO_MANY if goes_on else ONE_ERROR
                    raise
                if number % 6 == 0:
                    count += 1
                    counts = "An error changes the count. Increase it only where you send an echo, and never reset it."
                    silence = "After errors, an echo isn't answered."
                    await echoes(ada, f"after {number} errors", count, likely=Likely(silence, keys={"count": counts}))
            await ada.has_nothing_more()

    @check(4, "answers a binary message with an error")
    async def test_binary(self, subject: Subject) -> None:
        async with greeted(subject) as ada:
            for count, (message, what) in enumerate(BINARIES.items(), start=1):
                await ada.send(message)
                ada.did = f"{what}: {show(message)}"
                fix = 'Read with receive(), and send an error if message.get("text") is None.'
                await ada.gets_error(
                    likely=Likely(
                        silence=f"Nothing answers {what}. {fix}",
                        wrong=f"Your code accepts {what}. {fix}",
                        closed=f"Your endpoint ends at {what}. {fix}",
                    )
                )
                keys = {"count": "A binary message counts as an echo. Increase the count only where you send an echo."}
                await echoes(ada, f"after {count}", count, likely=Likely("An echo isn't answered.", keys=keys))
            await ada.has_nothing_more()

    @check(5, "closes with 1000 and bye on a bye")
    async def test_bye(self, subject: Subject) -> None:
        left = 'A bye must end with await websocket.close(1000, "bye"), and then return.'
        async with greeted(subject, "Grace") as grace:
            for count, (kind, spelling) in enumerate(pool.spellings({"type": "bye"}).items(), start=1):
                async with greeted(subject, "Ada") as ada:
                    await echoes(ada, "before", 1, likely="The first echo counts 1.")
                    await ada.send(spelling)
                    same = f"Your code doesn't read this as JSON: it's the same bye, {kind}. {PARSER}"
                    if "further key" in kind:
                        same = "A bye with further keys is refused. Ignore keys that you don't need."
                    await ada.is_closed(1000, "bye", likely=left if kind == "as Python writes it" else same)
                await echoes(grace, "still here", count, likely="The bye of one client ends or disturbs another one.")
            async with greeted(subject, "Ada") as ada:
                await ada.send_burst(
                    {"type": "echo", "text": "one"},
                    {"type": "echo", "text": "two"},
                    {"type": "bye"},
                )
                lost = "The close overtakes answers that are still waiting. Send them all before you close."
                await ada.gets_all([echo("one", 1), echo("two", 2)], likely=Likely(silence=lost, closed=lost))
                ada.did = "two echo requests and a bye in one packet"
                await ada.is_closed(1000, "bye", likely=left)
            await grace.has_nothing_more()

    @check(6, "is not disturbed by a client that disconnects")
    async def test_vanish(self, subject: Subject) -> None:
        async with greeted(subject, "Grace") as grace:
            for count, way in enumerate(ENDS, start=1):
                async with greeted(subject, "Ada") as ada:
                    own = "The count goes on from a connection that has ended. Start it at 0 in the endpoint."
                    await echoes(ada, "hello", 1, likely=Likely("An echo isn't answered.", keys={"count": own}))
                    await getattr(ada, way)()
                await grace.send({"type": "echo", "text": "still here"})
                grace.did = f"an echo request, after another client ended with {ada.did}"
                await grace.gets(echo("still here", count), likely=LEFT_OVER)
            for way in ENDS:
                await self._in_mid_send(subject, way)
            await echoes(grace, "at last", 4, likely=LEFT_OVER)
            await self._many_together(subject)

    @check(6, "serves its hundredth client like the first")
    async def test_many(self, subject: Subject) -> None:
        async def end(way: str) -> None:
            for number in range(1, MANY + 1):
                async with greeted(subject, f"client {number} of those that end like this") as client:
                    reused = "The count goes on from a connection that has ended. Start it at 0 in the endpoint."
                    await echoes(client, "hello", 1, likely=Likely("An echo isn't answered.", keys={"count": reused}))
                    if way == "bye":
                        await client.send({"type": "bye"})
                        await client.is_closed(1000, "bye", likely="A bye isn't answered after many connections.")
                    else:
                        await getattr(client, way)()

        # More than a hundred for each way, because a leak may affect only one of them.
        await asyncio.gather(*map(end, (*ENDS, "bye")))

    @check(2, "waits for a client that is silent for six seconds", hard=True)
    async def test_silence(self, subject: Subject) -> None:
        async with greeted(subject) as ada:
            await asyncio.sleep(6)
            ping = "Your code sends something of its own to a silent client. Answer messages, and send nothing else."
            idle = "A silent client is dropped. Don't limit the time of a receive."
            await echoes(ada, "still here", 1, likely=Likely(silence=idle, wrong=ping, closed=idle, surplus=ping))

    @check(1, "serves 120 clients at the same time", hard=True)
    async def test_crowd(self, subject: Subject) -> None:
        async with contextlib.AsyncExitStack() as stack:
            for number in range(1, 121):
                limited = "Your code limits the number of connections. Serve all of them at the same time."
                likely = Likely(silence=limited, closed=limited)
                client = await stack.enter_async_context(subject.client(who=f"client {number} of 120"))
                await client.gets(WELCOME, likely=likely)
                await echoes(client, "hello", 1, likely=likely)

    @check(3, "answers half an emoji with an echo or an error", hard=True)
    async def test_surrogate(self, subject: Subject) -> None:
        cause = "Half of an emoji can't be sent: that raises UnicodeEncodeError. Catch it, and send an error."
        await self._all_go_on(subject, STRANGE, cause)

    @check(3, "answers JSON that is nested 100,000 deep", hard=True)
    async def test_deep(self, subject: Subject) -> None:
        cause = "Deep JSON raises RecursionError, a RuntimeError. Catch it where you parse, and send an error."
        await self._all_go_on(subject, DEEP, cause)

    @check(3, "answers JSON with strange numbers and keys", hard=True)
    async def test_numbers(self, subject: Subject) -> None:
        cause = "Parsing this raises an exception of another kind. Catch ValueError and its like, and send an error."
        await self._all_go_on(subject, NUMBERS, cause)

    @check(5, "answers nothing after a bye", hard=True)
    async def test_after_bye(self, subject: Subject) -> None:
        async with greeted(subject) as ada:
            await ada.send_burst({"type": "bye"}, {"type": "echo", "text": "after the bye"}, "not JSON")
            await ada.is_closed(
                1000,
                "bye",
                likely=Likely(
                    silence="The bye isn't answered when other messages follow it.",
                    surplus="A message after the bye is answered. Return after the close.",
                ),
            )

    @check(6, "leaves no task behind", hard=True)
    async def test_tasks(self, subject: Subject) -> None:
        # Use another server, because the tasks of a whole server are counted.
        async with subject.another(counting=True) as own:
            async with greeted(own) as ada:
                await echoes(ada, "hello", 1, likely="The first echo counts 1.")
            before = await own.unfinished()
            for way in (*ENDS, "bye", "error"):
                async with greeted(own) as client:
                    await echoes(client, "hello", 1, likely="The first echo counts 1.")
                    if way == "bye":
                        await client.send({"type": "bye"})
                        await client.is_closed(1000, "bye", likely="A bye closes the connection.")
                    elif way != "error":
                        await getattr(client, way)()
                await self._in_mid_send(own, "reset")
            await own.eventually_idle(before, after="clients came, and all of them have disconnected")

    @staticmethod
    async def _all_go_on(subject: Subject, messages: dict[str, str], cause: str) -> None:
        for message, what in messages.items():
            async with greeted(subject) as ada:
                await goes_on(ada, message, what, cause)
                await ada.send({"type": "echo", "text": "after"})
                ada.did = f"an echo request, after {what}"
                frame = await ada.next(expect="an echo", likely="The connection doesn't go on after this.")
                if not any(is_message(frame, echo("after", count)) for count in (1, 2)):
                    raise Failure(
                        sent=ada.did,
                        got=show(frame),
                        expect=show(echo("after", 1)),
                        likely="The connection doesn't go on as before after this.",
                    )

    @staticmethod
    async def _in_mid_send(subject: Subject, end: str) -> None:
        """Request more than the buffers hold, read nothing, and then end the connection."""
        async with subject.client(small_buffers=True) as ada:
            async with Requests(ada, most=16) as requests:
                await requests.until_stuck(subject)
                if end == "leave":
                    ada.read_again()
                await getattr(ada, end)()

    @staticmethod
    async def _many_together(subject: Subject) -> None:
        """Send requests from two dozen clients at the same time, to detect one that blocks the others."""

        async def one(number: int) -> None:
            async with greeted(subject) as client:
                if number % 2:
                    await client.send("no request")
                    await client.gets_error(likely=BLOCKS)
                keys = {"count": "The count isn't this connection's own. Start it at 0 in the endpoint."}
                await echoes(client, "together", 1, likely=Likely(BLOCKS, keys=keys))

        await asyncio.gather(*(one(number) for number in range(24)))
