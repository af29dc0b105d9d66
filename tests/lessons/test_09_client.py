"""Step 09: verify what its notebook states about a client that reconnects in a bare loop, on the running lesson."""

import asyncio
import contextlib
import importlib.util
import json
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

import pytest
from harness.guesses import assert_right
from judge.members import PING, message
from judge.rejoining import back, say
from judge.subject import Subject
from websockets import ConnectionClosed
from websockets.asyncio.client import ClientConnection, connect
from workshop import Network
from workshop.course import find_step

SECONDS = 20
"""A deadline in seconds. Everything before it takes far less, even on a busy machine."""
MANY = 20
"""More attempts than a client with a delay makes while a server starts, or while it answers a few requests."""
LOBBY, LAB = "/ws/lobby?name=", "/ws/lab?name="


@pytest.fixture(scope="module")
def client() -> ModuleType:
    """The lesson's client, without the package `app`, because another step's package has the same name."""
    spec = importlib.util.spec_from_file_location("lesson_client", find_step(9).folder / "app" / "client.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def gets(client: Any, expected: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the items before this one, which a BareClient must receive."""
    before: list[dict[str, Any]] = []
    async with asyncio.timeout(SECONDS):
        while (item := await anext(client)) != expected:
            before.append(item)
    return before


async def joins(client: Any) -> None:
    """Wait until a BareClient has joined its room, or has rejoined it. It receives no message before that."""
    async with asyncio.timeout(SECONDS):
        while (item := await anext(client))["type"] != "members":
            assert item["type"] in ("joined", "left"), item


async def attempts(client: Any, count: int) -> None:
    """Wait until a BareClient has made this number of attempts."""
    async with asyncio.timeout(SECONDS):
        while client.attempts < count:
            await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def outage(network: Network) -> AsyncIterator[None]:
    """Reset the connections of a network, and let no new one through until the end of this block."""
    network.half_open(new=True)
    network.cut()
    async with asyncio.timeout(SECONDS):
        await network.wait_until_accepted(network.accepted + 1)
    yield
    network.restore()
    network.cut()


async def answer_pings(member: ClientConnection, until: dict[str, str]) -> None:
    """Answer each ping, until this message arrives."""
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
    def test_server_is_given(self) -> None:
        """The server of the lesson and of the exercise is the solution of step 08, byte for byte."""
        before, step = find_step(8).solution / "exercise", find_step(9)
        names = {path.name for path in before.glob("*.py")}
        for folder, others in ((step.folder / "app", {"main.py"}), (step.folder / "exercise", set())):
            assert {path.name for path in folder.glob("*.py")} == names | {"client.py"}, folder
            for name in names - others:
                assert (folder / name).read_bytes() == (before / name).read_bytes(), folder / name

    async def test_works(self, lesson: Subject, client: ModuleType) -> None:
        """Without a failure, BareClient sends and receives."""
        async with (
            client.BareClient(lesson.server.ws(LOBBY + "Ada")) as ada,
            client.BareClient(lesson.server.ws(LOBBY + "Grace")) as grace,
        ):
            await joins(ada)
            await joins(grace)
            await ada.send("hello")
            for each in (grace, ada):
                await gets(each, message(1, "Ada", "hello"))

    async def test_does_not_wait(self, lesson: Subject, client: ModuleType) -> None:
        """While no server listens, BareClient makes many attempts. When one listens again, it rejoins."""
        async with lesson.another() as own, client.BareClient(own.server.ws(LOBBY + "Ada")) as ada:
            await joins(ada)
            own.server.kill()
            before = ada.attempts
            async with lesson.another(port=own.server.port):
                await joins(ada)
                assert ada.attempts - before > MANY

    async def test_misses(self, lesson: Subject, client: ModuleType) -> None:
        """After a reconnect, BareClient receives the next message, and never those that it missed."""
        async with (
            Network(lesson.server) as network,
            client.BareClient(lesson.server.ws(LOBBY + "Ada")) as ada,
            client.BareClient(network.ws(LOBBY + "Grace")) as grace,
        ):
            await joins(ada)
            await joins(grace)
            await ada.send("one")
            await gets(grace, message(1, "Ada", "one"))
            async with outage(network):
                await ada.send("two")
                await ada.send("three")
                await gets(ada, message(3, "Ada", "three"))
            await joins(grace)
            await ada.send("four")
            assert not await gets(grace, message(4, "Ada", "four"))

    async def test_server_has_them(self, lesson: Subject) -> None:
        """The server has what BareClient misses: it replays it to a client that sends after=."""
        async with back(lesson, "lab", "Ada") as ada:
            await say(ada, "one", "two")
            async with back(lesson, "lab", "Grace", after=1) as grace:
                await grace.gets(message(2, "Ada", "two"), likely="")

    async def test_loses(self, lesson: Subject, client: ModuleType) -> None:
        """What BareClient sends without a connection is lost, before the first one and after a lost one."""
        async with (
            Network(lesson.server) as network,
            client.BareClient(network.ws(LAB + "Ada")) as ada,
            client.BareClient(lesson.server.ws(LAB + "Grace")) as grace,
        ):
            await ada.send("zero")
            await joins(ada)
            await joins(grace)
            await ada.send("one")
            # The first id: "zero" never arrived.
            received = await gets(grace, message(1, "Ada", "one"))
            await gets(ada, message(1, "Ada", "one"))
            async with outage(network):
                await ada.send("two")
            await joins(ada)
            await ada.send("three")
            received += await gets(grace, message(2, "Ada", "three"))
            assert_right("09.1", 2 + sum(item["type"] == "message" for item in received))

    async def test_duplicates(self, lesson: Subject, client: ModuleType) -> None:
        """A message that the caller repeats after a lost connection is broadcast twice, because it has no key."""
        async with (
            Network(lesson.server) as network,
            client.BareClient(network.ws(LAB + "Ada")) as ada,
            client.BareClient(lesson.server.ws(LAB + "Grace")) as grace,
        ):
            await joins(ada)
            await joins(grace)
            network.delay = 0.5
            await ada.send("pay 10")
            await gets(grace, message(1, "Ada", "pay 10"))
            network.cut()
            network.delay = 0
            await joins(ada)
            await ada.send("pay 10")
            await gets(grace, message(2, "Ada", "pay 10"))
            # Ada received only the second one.
            assert not await gets(ada, message(2, "Ada", "pay 10"))

    async def test_ignores_403(self, lesson: Subject, client: ModuleType) -> None:
        """BareClient keeps trying after HTTP 403, which an after= that the server hasn't assigned gets."""
        async with lesson.another(noisy=True) as own:
            assert await own.handshake(LOBBY + "Ada&after=100") == 403
            async with client.BareClient(own.server.ws(LOBBY + "Ada&after=100")) as ada:
                await asyncio.sleep(1)
                await attempts(ada, MANY)
                assert_right("09.2", ada.attempts)
            assert sum('after=100" 403' in line for line in own.server.log) > 1

    async def test_ignores_1008(self, lesson: Subject, client: ModuleType) -> None:
        """A member that's removed with 1008 is a member again, because BareClient reconnects."""
        async with connect(lesson.server.ws(LOBBY + "Linus"), proxy=None) as linus:
            await linus.recv()
            await lesson.request("DELETE", "/rooms/lobby/members/Linus", likely="")
            assert await close_of(linus) == (1008, "removed")
        async with client.BareClient(lesson.server.ws(LOBBY + "Linus")) as linus:
            await joins(linus)
            await lesson.request("DELETE", "/rooms/lobby/members/Linus", likely="")
            await joins(linus)
            assert linus.attempts == 2
            assert await lesson.get_json("/rooms/lobby/members", likely="") == {"names": ["Linus"]}

    async def test_half_open(self, lesson: Subject) -> None:
        """The server disconnects a half-open connection like any silent one. Its client notices nothing."""
        quick = await lesson.under(HEARTBEAT_INTERVAL="0.4")
        async with (
            Network(quick.server) as network,
            connect(quick.server.ws(LAB + "Ada"), proxy=None) as ada,
            connect(quick.server.ws(LAB + "Linus"), proxy=None) as linus,
            connect(network.ws(LAB + "Grace"), proxy=None, ping_interval=None) as grace,
        ):
            await grace.recv()
            network.half_open()
            receiving = asyncio.create_task(grace.recv())
            await answer_pings(ada, until={"type": "left", "name": "Grace"})
            assert await close_of(linus) == (4408, "no sign of life")
            await asyncio.wait([receiving], timeout=2)
            assert not receiving.done() and grace.state.name == "OPEN"
            assert_right("09.3", str(grace.close_code))
            network.cut()
            with pytest.raises(ConnectionClosed):
                await receiving

    async def test_keepalive(self, lesson: Subject) -> None:
        """The library's keepalive ends a half-open connection: a ping, the wait for a pong, and the close."""
        times = {"ping_interval": 0.2, "ping_timeout": 0.2, "close_timeout": 0.2}
        async with Network(lesson.server) as network:
            async with connect(network.ws(LAB + "Grace"), proxy=None, **times) as grace:
                network.half_open()
                assert await close_of(grace) == (1006, "")
                assert (sent := grace.protocol.close_sent) and sent.code == 1011

    async def test_keepalive_of_bare_client(self, lesson: Subject, client: ModuleType) -> None:
        """BareClient has the library's defaults, so a half-open connection ends after 30 to 50 seconds."""
        async with client.BareClient(lesson.server.ws(LAB + "Grace")) as grace:
            await joins(grace)
            websocket = grace._websocket
            assert (websocket.ping_interval, websocket.ping_timeout, websocket.close_timeout) == (20, 20, 10)

    async def test_deadline(self, lesson: Subject) -> None:
        """After four silent intervals, a client reconnects with after=, and gets what the network has dropped."""
        quick = await lesson.under(HEARTBEAT_INTERVAL="0.4")
        async with Network(quick.server) as network, back(quick, "lab", "Ada") as ada:
            grace = await connect(network.ws(LAB + "Grace"), proxy=None)
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
            async with connect(network.ws(LAB + "Grace&after=1"), proxy=None) as grace, asyncio.timeout(SECONDS):
                received = [json.loads(await grace.recv()) for _ in range(2)]
            assert [each["type"] for each in received] == ["members", "message"]
            assert received[1] == message(2, "Ada", "two")

    async def test_page(self, lesson: Subject) -> None:
        """The browser page is served at /."""
        assert (await lesson.get("/", likely="")).headers["content-type"].startswith("text/html")
