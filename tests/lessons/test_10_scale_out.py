"""Step 10: what its notebook states about many processes, verified on the running lesson."""

import asyncio
import contextlib
import sys

import psutil
import pytest
from harness.guesses import assert_right
from judge.clients import anything
from judge.cluster import MemberLog, at, own_cluster, say
from judge.members import Members
from judge.subject import Subject
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from websockets import ConnectionClosed, connect
from workshop.course import find_step
from workshop.redis_server import RedisServer
from workshop.server import PortInUse, Server

SECONDS = 20
"""A deadline for what takes far less, also on a busy machine."""


async def receives(log: MemberLog, number: int) -> None:
    """Wait until the tab has received this many messages."""
    await log.until(lambda: len(log.messages) >= number, expect=f"{number} messages", likely="", after="")


async def published(subscription: PubSub, number: int) -> list[int]:
    """Receive this many published ids."""
    ids: list[int] = []
    async with asyncio.timeout(SECONDS):
        while len(ids) < number:
            item = await subscription.get_message(ignore_subscribe_messages=True, timeout=1)
            ids += [int(item["data"])] if item else []
    return ids


def listening_ports(process: psutil.Process) -> list[int]:
    """Return the ports on which a process has a listening TCP socket."""
    sockets = process.net_connections("tcp")
    return [socket.laddr.port for socket in sockets if socket.status == psutil.CONN_LISTEN]


@pytest.mark.anyio
class TestLesson:
    @pytest.mark.parametrize(
        ("number", "names"),
        [(7, ("connection", "members", "supervision")), (8, ("encoding", "messages", "tab"))],
    )
    def test_copies(self, number: int, names: tuple[str, ...]) -> None:
        """The modules that the lesson doesn't change are byte-identical to those of the earlier solutions."""
        before, app = find_step(number).solution / "exercise", find_step(10).folder / "app"
        for name in names:
            assert (app / f"{name}.py").read_bytes() == (before / f"{name}.py").read_bytes(), name

    async def test_two_workers(self, lesson: Subject) -> None:
        """Without a broker, only members at the sender's worker receive the message."""
        workers = Server("app.main:app", lesson.folder, extra=("--workers", "2"))
        try:
            await asyncio.to_thread(workers.wait_until_ready, SECONDS)
            both = lambda log: sum("startup complete" in line for line in log) == 2  # noqa: E731
            assert await asyncio.to_thread(workers.wait_for, both, SECONDS)
            subject = Subject(workers, 2, lesson.folder)
            for number in range(10):
                # The operating system chooses a worker for each connection, and may choose the same one for all.
                async with contextlib.AsyncExitStack() as stack:
                    places = [at(subject, f"lobby-{number}", f"Ada {each}") for each in range(10)]
                    logs = [await stack.enter_async_context(place) for place in places]
                    await say(logs[0], "hello")
                    await receives(logs[0], 1)
                    for log in logs:
                        await log.settles(likely="")
                    receivers = sum(bool(log.messages) for log in logs)
                    if 1 < receivers < 10:
                        assert_right("10.1", receivers)
                        break
            else:
                pytest.fail("all members received the message, or only the sender, in ten rooms")
            await subject._http.aclose()
        finally:
            await asyncio.to_thread(workers.kill)

    def test_shared_port(self) -> None:
        """The parent of two workers opens one TCP socket, which the workers inherit; no other server gets its port."""
        folder = find_step(10).folder
        workers = Server("app.main:app", folder, extra=("--workers", "2"))
        try:
            workers.wait_until_ready(SECONDS)
            assert workers.wait_for(lambda log: sum("startup complete" in line for line in log) == 2, SECONDS)
            if sys.platform != "win32":
                parent = psutil.Process(workers.pid)
                holders = [each for each in [parent, *parent.children()] if workers.port in listening_ports(each)]
                assert len(holders) == 3
            with pytest.raises(PortInUse):
                Server("app.main:app", folder, port=workers.port).wait_until_ready()
        finally:
            workers.kill()

    async def test_over_redis(self, lesson: Subject) -> None:
        """With a broker, all members receive the message, over one subscription for each process."""
        async with own_cluster(lesson, 2) as cluster, contextlib.AsyncExitStack() as stack:
            redis = Redis.from_url(cluster.redis.url, decode_responses=True)
            stack.push_async_callback(redis.aclose)
            assert dict(await redis.pubsub_numsub("chat")) == {"chat": 2}
            places = [at(cluster[each % 2], "lobby", f"Ada {each}") for each in range(10)]
            logs = [await stack.enter_async_context(place) for place in places]
            assert dict(await redis.pubsub_numsub("chat")) == {"chat": 2}
            await say(logs[0], "hello")
            for log in logs:
                await receives(log, 1)

    async def test_same_id(self, lesson: Subject) -> None:
        """Each process counts on its own: two messages get the same id, and a replay leaves out the second one."""
        async with own_cluster(lesson, 2) as cluster:
            for number in range(20):
                room = f"lab-{number}"
                async with at(cluster[0], room, "Ada") as ada, at(cluster[1], room, "Grace") as grace:
                    # On a busy machine too, each process gets its own message before the other process publishes.
                    with cluster[0].suspended(), cluster[1].suspended():
                        await asyncio.gather(say(ada, "from Ada"), say(grace, "from Grace"))
                    await receives(ada, 2)
                    if ada.ids == [1, 1]:
                        break
            else:
                pytest.fail("the ids were different, in twenty rooms")
            async with at(cluster[0], room, "Linus", after=1) as linus:
                await linus.settles(likely="")
                assert not linus.messages and not linus.gaps

    async def test_order(self) -> None:
        """Two clients that increment and then publish can overtake each other. With a script, they can't."""
        redis = await asyncio.to_thread(RedisServer)
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(redis.close)
            clients = [Redis.from_url(redis.url, decode_responses=True) for _ in range(3)]
            first, second, reader = [await stack.enter_async_context(client) for client in clients]
            subscription = await stack.enter_async_context(reader.pubsub())
            await subscription.subscribe("demo")
            ids = [await first.incr("demo:last"), await second.incr("demo:last")]
            await second.publish("demo", ids[1])
            await first.publish("demo", ids[0])
            assert await published(subscription, 2) == [2, 1]

            async def run_script(client: Redis) -> None:
                for _ in range(100):
                    await client.eval("return redis.call('PUBLISH', 'demo', redis.call('INCR', 'demo:last'))", 0)

            await asyncio.gather(run_script(first), run_script(second))
            assert await published(subscription, 200) == list(range(3, 203))

    @pytest.mark.parametrize("real", [False, None], ids=["fakeredis", "available"])
    async def test_stream(self, real: bool | None) -> None:
        """A stream keeps the newest entries under the ids that the client chooses, and returns a range of them."""
        redis = await asyncio.to_thread(RedisServer, real=real)
        try:
            async with Redis.from_url(redis.url, decode_responses=True) as client:
                for number in range(1, 6):
                    fields = {"text": f"message {number}"}
                    await client.xadd("demo:stream", fields, id=f"{number}-0", maxlen=3, approximate=False)
                entries = [(f"{number}-0", {"text": f"message {number}"}) for number in range(3, 6)]
                assert await client.xrange("demo:stream", "4-0", "+") == entries[1:]
                assert await client.xrange("demo:stream") == entries
        finally:
            await asyncio.to_thread(redis.close)

    async def test_started_later(self, lesson: Subject) -> None:
        """A process that starts later replays nothing, sends no gap, and rejects the ids of earlier messages."""
        async with own_cluster(lesson, 1) as cluster:
            async with at(cluster[0], "lab", "Ada") as ada:
                await say(ada, "first", "second")
                await receives(ada, 2)
                assert ada.ids == [1, 2]
            async with lesson.another(BROKER=cluster.redis.url) as third:
                async with at(third, "lab", "Grace", after=0) as grace:
                    await grace.settles(likely="")
                    assert not grace.messages and not grace.gaps
                answer = await third.handshake(Members.path("lab", "Grace", after="1"))
                assert_right("10.2", f"HTTP {answer}")

    async def test_outage(self, lesson: Subject) -> None:
        """In an outage, the sender is disconnected. After it, there's an ack, but no member gets the message."""
        async with own_cluster(lesson, 2) as cluster, at(cluster[1], "lab", "Grace") as grace:
            async with at(cluster[0], "lab", "Ada") as ada:
                await asyncio.to_thread(cluster.redis.kill)
                await say(ada, "are you there?")
                await ada.tab.is_closed(1006, likely="", besides=anything)
            await asyncio.to_thread(cluster.redis.start)
            async with at(cluster[0], "lab", "Ada") as ada:
                await say(ada, "and now?", key="k")
                await ada.until(lambda: ada.acks, expect="an ack", likely="", after="")
                for log in (ada, grace):
                    await log.settles(likely="")
                count = sum(bool(log.messages) for log in (ada, grace))
                assert_right("10.3", f"an ack, and the message at {count} of 2 members")

    async def test_outage_ends_the_exercise(self) -> None:
        """In an outage of Redis, the exercise's process ends, and its members get 1012."""
        redis = await asyncio.to_thread(RedisServer)
        server = Server("exercise.main:app", find_step(10).solution, environment={"BROKER": redis.url})
        try:
            await asyncio.to_thread(server.wait_until_ready)
            async with connect(server.ws("/ws/lab?name=Ada"), proxy=None) as ada, asyncio.timeout(SECONDS):
                await ada.recv()
                await asyncio.to_thread(redis.kill)
                with pytest.raises(ConnectionClosed):
                    await ada.recv()
                assert ada.close_code == 1012
                while server.exit_code is None:
                    await asyncio.sleep(0.02)
        finally:
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(redis.close)

    async def test_page(self, lesson: Subject) -> None:
        """The browser page is served at /."""
        assert (await lesson.get("/", likely="")).headers["content-type"].startswith("text/html")

    def test_redis_is_separate(self) -> None:
        """The notebook's Redis, real or not, is a separate process, which can be killed and started again."""
        for real in (False, None):
            redis = RedisServer(real=real)
            redis.kill()
            redis.start()
            assert redis._answers()
            redis.close()
            assert not redis._answers()
