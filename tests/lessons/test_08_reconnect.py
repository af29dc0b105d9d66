"""Step 08: what its notebook states about lost and doubled messages, verified on the running lesson."""

import asyncio
import contextlib
import json

import pytest
from judge.members import PING, message
from judge.rejoining import ack, back, say
from judge.subject import Subject
from websockets import ConnectionClosed
from websockets.asyncio.client import ClientConnection, connect
from workshop import Network
from workshop.course import find_step

SECONDS = 20
"""A deadline for what takes far less, also on a busy machine."""


async def answer_pings(member: ClientConnection, until: dict[str, str]) -> None:
    """Answer each ping, until this message comes."""
    async with asyncio.timeout(SECONDS):
        while (received := json.loads(await member.recv())) != until:
            if received == PING:
                await member.send('{"type": "pong"}')


async def close_of(member: ClientConnection) -> tuple[int | None, str | None]:
    """Receive until the connection ends, and return its close code and reason."""
    async with asyncio.timeout(SECONDS):
        with contextlib.suppress(ConnectionClosed):
            while True:
                await member.recv()
    return member.close_code, member.close_reason


@pytest.mark.anyio
class TestLesson:
    def test_begins_with_the_solution(self) -> None:
        """What the lesson does not need to change is the solution of step 07, word for word."""
        before, app = find_step(7).solution / "exercise", find_step(8).folder / "app"
        for name in ("connection", "members", "supervision"):
            texts = [(folder / f"{name}.py").read_text("utf-8").partition("\n")[2] for folder in (before, app)]
            assert texts[0] == texts[1], name

    async def test_loses(self, lesson: Subject) -> None:
        """Who comes back without a word misses what was said meanwhile; the ids show it."""
        async with back(lesson, "lab", "Ada") as ada:
            async with back(lesson, "lab", "Grace") as grace:
                await ada.gets({"type": "joined", "name": "Grace"}, likely="")
                await say(ada, "one")
                await grace.gets(message(1, "Ada", "one"), likely="")
                await grace.finish()
            await ada.gets({"type": "left", "name": "Grace"}, likely="")
            await say(ada, "two", "three", first=2)
            async with back(lesson, "lab", "Grace") as grace:
                await ada.gets({"type": "joined", "name": "Grace"}, likely="")
                await say(ada, "four", first=4)
                await grace.gets(message(4, "Ada", "four"), likely="")

    async def test_doubles(self, lesson: Subject) -> None:
        """A message that is sent again without a key is passed on again."""
        async with back(lesson, "lab", "Grace") as grace:
            for number in (1, 2):
                async with back(lesson, "lab", "Ada") as ada:
                    await ada.send({"type": "message", "text": "pay 10"})
                    await ada.finish()
                for expected in ({"type": "joined", "name": "Ada"}, message(number, "Ada", "pay 10")):
                    await grace.gets(expected, likely="")
                await grace.gets({"type": "left", "name": "Ada"}, likely="")

    async def test_neither(self, lesson: Subject) -> None:
        """With a key and with after, nothing is doubled and nothing is lost."""
        async with back(lesson, "lab", "Grace") as grace:
            async with back(lesson, "lab", "Ada") as ada:
                await ada.send({"type": "message", "text": "pay 20", "key": "k"})
                await ada.finish()
            for expected in ({"type": "joined", "name": "Ada"}, message(1, "Ada", "pay 20")):
                await grace.gets(expected, likely="")
            await grace.finish()
        async with back(lesson, "lab", "Ada") as ada:
            await ada.send({"type": "message", "text": "pay 20", "key": "k"})
            await ada.gets(ack("k", 1), likely="")
            await say(ada, "done", first=2)
        async with back(lesson, "lab", "Grace", after=1) as grace:
            await grace.gets(message(2, "Ada", "done"), likely="")
            await grace.send("no JSON")
            await grace.gets_error(likely="")

    async def test_swallows(self, lesson: Subject) -> None:
        """A key that another sender has used too swallows the message."""
        async with back(lesson, "lab", "Ada") as ada, back(lesson, "lab", "Linus") as linus:
            await ada.gets({"type": "joined", "name": "Linus"}, likely="")
            await ada.send({"type": "message", "text": "from Ada", "key": "1"})
            for tab in (ada, linus):
                await tab.gets(message(1, "Ada", "from Ada"), likely="")
            await ada.gets(ack("1", 1), likely="")
            await linus.send({"type": "message", "text": "from Linus", "key": "1"})
            await linus.gets(ack("1", 1), likely="")
            await ada.send("no JSON")
            await ada.gets_error(likely="")

    async def test_silent_hole(self, lesson: Subject) -> None:
        """An id that the server does not know is accepted, nothing is replayed, and ids below it come next."""
        async with back(lesson, "lab", "Ada") as ada:
            await say(ada, "a new day")
            async with back(lesson, "lab", "Grace", after=8) as grace:
                await grace.send("no JSON")
                await grace.gets_error(likely="")
                await ada.gets({"type": "joined", "name": "Grace"}, likely="")
                await say(ada, "good morning", first=2)
                await grace.gets(message(2, "Ada", "good morning"), likely="")

    async def test_half_open(self, lesson: Subject) -> None:
        """The server closes a half-open connection as any silent one. The client of it notices nothing."""
        quick = await lesson.under(HEARTBEAT_INTERVAL="0.4")
        async with (
            Network(quick.server) as network,
            connect(quick.server.ws("/ws/lab?name=Ada"), proxy=None) as ada,
            connect(quick.server.ws("/ws/lab?name=Linus"), proxy=None) as linus,
            connect(network.ws("/ws/lab?name=Grace"), proxy=None, ping_interval=None) as grace,
        ):
            await grace.recv()
            network.half_open()
            receiving = asyncio.create_task(grace.recv())
            await answer_pings(ada, until={"type": "left", "name": "Grace"})
            assert await close_of(linus) == (4408, "no sign of life")
            assert not receiving.done() and grace.state.name == "OPEN"
            network.cut()
            with pytest.raises(ConnectionClosed):
                await receiving

    async def test_keepalive(self, lesson: Subject) -> None:
        """The keepalive of the library ends a half-open connection: a ping, the wait for a pong, and the close."""
        times = {"ping_interval": 0.2, "ping_timeout": 0.2, "close_timeout": 0.2}
        async with Network(lesson.server) as network:
            async with connect(network.ws("/ws/lab?name=Grace"), proxy=None, **times) as grace:
                network.half_open()
                assert await close_of(grace) == (1006, "")
                assert (sent := grace.protocol.close_sent) and sent.code == 1011

    async def test_deadline(self, lesson: Subject) -> None:
        """After four intervals of silence, a client reconnects with after=, and gets what the network has dropped."""
        quick = await lesson.under(HEARTBEAT_INTERVAL="0.4")
        async with Network(quick.server) as network, back(quick, "lab", "Ada") as ada:
            grace = await connect(network.ws("/ws/lab?name=Grace"), proxy=None)
            await ada.gets({"type": "joined", "name": "Grace"}, likely="")
            await say(ada, "one")
            async with asyncio.timeout(SECONDS):
                while json.loads(await grace.recv()) != message(1, "Ada", "one"):
                    pass
            network.half_open()
            await say(ada, "two", first=2)
            with pytest.raises(TimeoutError):
                while True:
                    async with asyncio.timeout(4 * 0.4):
                        await grace.recv()
            grace.transport.close()
            await grace.wait_closed()
            async with connect(network.ws("/ws/lab?name=Grace&after=1"), proxy=None) as grace, asyncio.timeout(SECONDS):
                received = [json.loads(await grace.recv()) for _ in range(2)]
            assert [each["type"] for each in received] == ["members", "message"]
            assert received[1] == message(2, "Ada", "two")

    async def test_page(self, lesson: Subject) -> None:
        """The browser page is served at /."""
        assert (await lesson.get("/", likely="")).headers["content-type"].startswith("text/html")
