"""Step 11: what its notebook states about presence and outages, verified on the running lesson."""

import asyncio
import runpy

import pytest
from harness.guesses import assert_right
from judge.clients import ClientConnection, anything
from judge.cluster import MemberLog, at, own_cluster, say
from judge.members import Members
from judge.messages import show
from judge.subject import Subject, again
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError, ReadOnlyError, ResponseError
from websockets import ConnectionClosed
from workshop.course import find_step
from workshop.redis_server import RedisServer
from workshop.server import Server

SECONDS = 20
"""A deadline for what takes far less, also on a busy machine."""
EXERCISE = find_step(11).folder / "exercise"


async def receives(log: MemberLog, *texts: str) -> None:
    """Receive until the tab has messages with these texts, and no others."""
    await log.until(lambda: len(log.messages) >= len(texts), expect=show(texts), likely="", after="", seconds=SECONDS)
    assert sorted(message["text"] for message in log.messages) == sorted(texts)


async def close_code(log: MemberLog) -> int:
    """Receive until the connection ends, and return its close code."""
    async with asyncio.timeout(SECONDS):
        try:
            while True:
                await log.tab.connection.recv()
        except ConnectionClosed:
            return log.tab.connection.close_code


async def logs(server: Server, *texts: str) -> None:
    """Wait until the server has logged each of these texts."""
    for text in texts:
        assert await asyncio.to_thread(server.wait_for, lambda log, text=text: text in "\n".join(log), SECONDS), text


async def list_of(host: Subject, room: str) -> list[str]:
    """Return the members that a process lists."""
    names: list[str] = (await host.get_json(Members.list_path(room), likely=""))["names"]
    return names


@pytest.mark.anyio
class TestLesson:
    def test_begins_with_the_solution(self) -> None:
        """The lesson is the solution of step 10, and its main.py also serves the page."""
        before, app = find_step(10).solution / "exercise", find_step(11).folder / "app"
        names = {path.name for path in app.glob("*.py")}
        assert names == {path.name for path in before.glob("*.py")}
        for name in names - {"main.py"}:
            assert (before / name).read_bytes() == (app / name).read_bytes(), name
        both = [(folder / "main.py").read_text("utf-8").splitlines()[1:] for folder in (before, app)]
        page = ["from pathlib import Path", 'app.frontend("/", directory=Path(__file__).parents[2] / "page")']
        assert [line for line in both[1] if line not in page] == both[0]

    async def test_shares_messages_only(self, lesson: Subject) -> None:
        """A message reaches both processes with one id, and neither member gets a notice about the other one."""
        async with own_cluster(lesson, 2) as cluster:
            async with at(cluster[0], "lobby", "Ada") as ada, at(cluster[1], "lobby", "Grace") as grace:
                await say(ada, "hello", key="k")
                for log in (ada, grace):
                    await receives(log, "hello")
                    await log.settles(likely="")
                    assert (log.ids, log.notices) == ([1], [])

    async def test_two_lists(self, lesson: Subject) -> None:
        """Each process lists its own members, so a direct message and DELETE don't reach the other process."""
        async with own_cluster(lesson, 2) as cluster, at(cluster[1], "lab", "Grace") as grace:
            async with at(cluster[0], "lab", "Ada") as ada:
                assert await list_of(cluster[0], "lab") == ["Ada"]
                assert await list_of(cluster[1], "lab") == ["Grace"]
                await ada.tab.send({"type": "direct", "to": "Grace", "text": "psst"})
                await ada.until(lambda: ada.errors, expect="an error", likely="", after="", seconds=SECONDS)
                assert ada.errors[0]["detail"] == "Grace is not in this room"
                await Members(cluster[0]).remove("lab", "Grace", expect=404, likely="")
            await grace.settles(likely="")
            assert (grace.directs, grace.notices) == ([], [])
            assert await list_of(cluster[1], "lab") == ["Grace"]

    async def test_two_people(self, lesson: Subject) -> None:
        """A name with tabs at two processes leaves with the tab at one of them."""
        async with own_cluster(lesson, 2) as cluster:
            async with at(cluster[0], "lab", "Linus") as linus, at(cluster[1], "lab", "Ada"):
                async with at(cluster[0], "lab", "Ada"):
                    pass
                await linus.until(
                    lambda: len(linus.notices) == 2, expect="joined and left", likely="", after="", seconds=SECONDS
                )
                assert linus.notices == [("joined", "Ada"), ("left", "Ada")]
                assert await list_of(cluster[1], "lab") == ["Ada"]

    @pytest.mark.parametrize("real", [False, None])
    async def test_lease(self, real: bool | None) -> None:
        """A key expires and the list stays; RENEW_LEASE returns the process whose lease has expired."""
        server = await asyncio.to_thread(RedisServer, real=real)
        script = runpy.run_path(str(EXERCISE / "scripts.py"))["RENEW_LEASE"]
        try:
            async with (
                asyncio.timeout(SECONDS),
                Redis.from_url(server.url, decode_responses=True) as admin,
            ):
                names = {"process 1": "Ada", "process 2": "Grace"}
                await admin.hset("members", mapping=names)
                await admin.set("lease", "process 1", ex=1)
                assert await admin.eval(script, 1, "processes", "process 1", 1) == []
                async for _ in again():
                    await admin.set("renewed", "process 2", ex=SECONDS)
                    expired = await admin.eval(script, 1, "processes", "process 2", SECONDS)
                    if expired and not await admin.exists("lease"):
                        break
                assert expired == ["process 1"]
                assert await admin.mget("lease", "renewed") == [None, "process 2"]
                assert await admin.hgetall("members") == names
                assert_right("11.1", await admin.hlen("members"))
        finally:
            await asyncio.to_thread(server.close)

    async def test_restart(self, lesson: Subject) -> None:
        """When Redis ends, both processes end with all connections, and a new process can't start during the outage."""
        async with own_cluster(lesson, 2) as cluster:
            async with (
                at(cluster[0], "lab", "Ada") as ada,
                at(cluster[0], "lab", "Linus") as linus,
                at(cluster[1], "lab", "Grace") as grace,
            ):
                await asyncio.to_thread(cluster.redis.kill)
                try:
                    await say(ada, "hello")
                except ConnectionClosed:
                    pass  # The server was faster.
                assert await close_code(ada) in (1006, 1012)
                assert await close_code(linus) == 1012
                assert_right("11.2", f"closed with {await close_code(grace)}")
            for host in cluster.servers:
                await logs(host.server, "A background task has ended, so the server shuts down.", "ConnectionError")
                await logs(host.server, "Finished server process")
            server = Server("app.main:app", lesson.folder, environment={"BROKER": cluster.redis.url})
            try:
                await logs(server, "Application startup failed")
            finally:
                await asyncio.to_thread(server.kill)
            await asyncio.to_thread(cluster.redis.start)
            async with lesson.another(BROKER=cluster.redis.url) as third, at(third, "lab", "Ada") as ada:
                await say(ada, "hello")
                await receives(ada, "hello")

    async def test_hangs(self, lesson: Subject) -> None:
        """If Redis hangs, the sender gets no answer; afterwards, its process runs on and receives no message."""
        client = Redis()
        assert client.connection_pool.connection_kwargs["socket_timeout"] == 5
        await client.aclose()
        async with own_cluster(lesson, 2, links=1) as cluster, at(cluster[1], "lobby", "Grace") as grace:
            async with at(cluster[0], "lobby", "Ada") as ada:
                cluster.links[0].half_open()
                await say(ada, "hello", key="k")
                ada.tab.patience = SECONDS
                assert await ada.tab.is_closed(1006, likely="", besides=anything) == []
                await logs(cluster[0].server, "TimeoutError")
            cluster.links[0].restore()
            async with at(cluster[0], "lobby", "Ada") as ada:
                await say(ada, "and now?", key="k2")
                await say(grace, "I'm here")
                await ada.until(lambda: ada.acks, expect="an ack", likely="", after="", seconds=SECONDS)
                await receives(grace, "and now?", "I'm here")
                await ada.settles(likely="")
                assert ada.messages == []
            assert cluster[0].server.exit_code is None
            assert "A background task has ended" not in "\n".join(cluster[0].server.log)

    async def test_error_reply(self, lesson: Subject) -> None:
        """An error reply of Redis ends the sender's connection, and no other."""
        assert issubclass(OutOfMemoryError, ResponseError) and issubclass(ReadOnlyError, ResponseError)
        async with own_cluster(lesson, 2) as cluster:
            async with at(cluster[0], "lab", "Ada") as ada, at(cluster[0], "lab", "Grace") as grace:
                async with Redis.from_url(cluster.redis.url) as admin:
                    # fakeredis has no limit of memory. INCR answers this with an error too.
                    await admin.set("chat:{lab}:last", "not a number")
                await say(ada, "hello", key="k")
                assert await close_code(ada) == 1006
                await logs(cluster[0].server, "ResponseError")
                await grace.settles(likely="")

    async def test_recovers_empty(self, lesson: Subject) -> None:
        """After a loss, ids start at 1: a client that resumes gets 403, or misses messages without a gap."""
        assert 403 in runpy.run_path(str(EXERCISE / "client.py"))["FATAL_STATUSES"]
        async with own_cluster(lesson, 1) as cluster:
            async with at(cluster[0], "lab", "Ada") as ada:
                await say(ada, "one", "two", "three")
                await receives(ada, "one", "two", "three")
            await asyncio.to_thread(cluster.redis.kill)
            cluster.redis.forget()
            await asyncio.to_thread(cluster.redis.start)
            async with lesson.another(BROKER=cluster.redis.url) as host:
                answer = await host.handshake(Members.path("lab", "Ada", after="3"))
                assert not isinstance(answer, ClientConnection)
                assert answer == 403
                async with at(host, "lab", "Grace") as grace:
                    await say(grace, "four", "five", "six", "seven")
                    await receives(grace, "four", "five", "six", "seven")
                    assert grace.ids == [1, 2, 3, 4]
                async with at(host, "lab", "Ada", after=3) as ada:
                    await receives(ada, "seven")
                    await ada.settles(likely="")
                    assert (ada.ids, ada.gaps) == ([4], [])
                    assert_right("11.3", len(ada.messages))

    async def test_page(self, lesson: Subject) -> None:
        """The browser page is served at /."""
        assert (await lesson.get("/", likely="")).headers["content-type"].startswith("text/html")
