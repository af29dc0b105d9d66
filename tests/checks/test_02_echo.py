"""Step 02: the checks of the exercise."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from judge.clients import Client
from judge.model import Failure, check
from judge.subject import Subject
from judge.tasks import spawn

NOT_REQUESTS = (
    "hello",
    "",
    "[]",
    "null",
    "42",
    '"echo"',
    '{"type": "echo", "text": "no end',
    "{}",
    '{"text": "no type"}',
    '{"type": "shout", "text": "unknown type"}',
    '{"type": null, "text": "no type"}',
    '{"type": ["echo"], "text": "type is a list"}',
    '{"type": "echo"}',
    '{"type": "echo", "text": null}',
    '{"type": "echo", "text": 5}',
    '{"type": "echo", "text": true}',
    '{"type": "echo", "text": ["a list"]}',
)
BINARIES = (b"\x00\x01", b"", b"\xff\xfe", b'{"type": "echo", "text": "binary"}', b'{"type": "bye"}')
WELCOME = {"type": "welcome"}


@contextlib.asynccontextmanager
async def greeted(subject: Subject) -> AsyncIterator[Client]:
    """A client that has read its welcome."""
    async with subject.client() as client:
        await client.gets(WELCOME, likely="the welcome comes first, once on each connection")
        yield client


async def echoes(client: Client, text: str, count: int, *, likely: str, more: dict[str, object] | None = None) -> None:
    """Send an echo request, with `more` keys in it, and get its answer."""
    await client.send({"type": "echo", "text": text, **(more or {})})
    await client.gets({"type": "echo", "text": text, "count": count}, likely=likely)


class TestExercise:
    @check(1, "greets with a welcome")
    async def test_welcome(self, subject: Subject) -> None:
        async with subject.client() as ada:
            await ada.gets(
                WELCOME, likely="nothing is sent before the loop starts to read, or it is no JSON in a text frame"
            )

    @check(2, "echoes and counts")
    async def test_echo(self, subject: Subject) -> None:
        async with greeted(subject) as ada, greeted(subject) as grace:
            await echoes(
                ada,
                "hello",
                1,
                likely="the answer has exactly three keys, type, text and count, and the first count is 1",
            )
            await echoes(ada, "hello", 2, likely="the count does not go up with each echo")
            await echoes(
                grace,
                "hi",
                1,
                likely="the count is shared by all connections: keep it in the endpoint, each call has its own",
            )
            await echoes(
                ada, "", 3, likely="an empty text is taken for a missing one: compare with None, or ask for a string"
            )
            await echoes(ada, '안녕하세요 "quoted"\n', 4, likely="the text is changed on its way")
            await echoes(
                ada,
                "more keys",
                5,
                likely="a request with further keys is refused: ignore them",
                more={"extra": [1], "count": 99},
            )
            await echoes(grace, "x" * 100_000, 2, likely="a long text is cut or refused")

    @check(3, "answers anything else with an error")
    async def test_error(self, subject: Subject) -> None:
        async with greeted(subject) as ada:
            await echoes(ada, "before", 1, likely="the first echo counts 1")
            for message in NOT_REQUESTS:
                await ada.send(message)
                await ada.gets_error(likely="this is no request, and the connection must go on after it")
            await echoes(ada, "after", 2, likely="an error counts as an echo")

    @check(4, "answers a binary frame with an error")
    async def test_binary(self, subject: Subject) -> None:
        async with greeted(subject) as ada:
            for frame in BINARIES:
                await ada.send(frame)
                await ada.gets_error(
                    likely="a binary frame is an error whatever it holds: look whether the message has a text"
                )
            await echoes(ada, "after", 1, likely="a binary frame counts as an echo")

    @check(5, "closes with 1000 and bye on a bye")
    async def test_bye(self, subject: Subject) -> None:
        async with greeted(subject) as ada:
            await echoes(ada, "before", 1, likely="the first echo counts 1")
            await ada.send({"type": "bye"})
            frames = await ada.is_closed(
                1000,
                "bye",
                likely='the loop is left without await websocket.close(1000, "bye"), or with something else',
            )
            if frames:
                raise Failure(
                    sent=ada.did,
                    got=f"{frames[0]!r} before the close",
                    expect="the close alone",
                    likely="a bye is answered as if it were another request",
                )

    @check(6, "is not disturbed by a client that leaves or vanishes")
    async def test_vanish(self, subject: Subject) -> None:
        likely = "the endpoint of a client that has left does not end: it blocks the event loop, and everybody waits"
        async with greeted(subject) as grace:
            for count, way in enumerate(("leave", "finish", "reset"), start=1):
                async with greeted(subject) as ada:
                    await echoes(ada, "hello", 1, likely="each connection counts for itself")
                    await getattr(ada, way)()
                grace.did = f"an echo, after another client ended with {ada.did}"
                await grace.connection.send('{"type": "echo", "text": "still here"}')
                await grace.gets({"type": "echo", "text": "still here", "count": count}, likely=likely)
            for end in ("leave", "finish", "reset"):
                await self._in_mid_send(subject, end)
            await echoes(grace, "at last", 4, likely=likely)
            await self._many_at_once(subject)

    @staticmethod
    async def _in_mid_send(subject: Subject, end: str) -> None:
        """A client that asks for more than the buffers hold and reads nothing, and then ends."""
        async with subject.client(narrow=True) as ada:
            ada.stop_reading()
            sent = 0

            async def flood() -> None:
                nonlocal sent
                for _ in range(16):
                    await ada.send({"type": "echo", "text": "x" * 262_144})
                    sent += 1

            flooding = spawn(flood())
            # The server reads no more from a client that it cannot write to, so the flood comes to a halt.
            try:
                await subject.stands_still(lambda: sent)
                if end == "leave":
                    ada.read_again()
                await getattr(ada, end)()
            finally:
                flooding.cancel()
                await asyncio.gather(flooding, return_exceptions=True)

    @staticmethod
    async def _many_at_once(subject: Subject) -> None:
        """Twelve clients ask at the same moment: one that makes the others wait is found out."""
        likely = "something blocks the event loop, and clients wait for each other: await asyncio.sleep, not time.sleep"

        async def one(number: int) -> None:
            async with greeted(subject) as client:
                if number % 2:
                    await client.send("no request")
                    await client.gets_error(likely=likely)
                await echoes(client, "together", 1, likely=likely)

        await asyncio.gather(*(one(number) for number in range(12)))
