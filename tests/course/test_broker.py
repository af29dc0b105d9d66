"""The broker of step 11 survives error replies from Redis, bad networks, many rooms, and tasks that end."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from judge.cluster import NO_REDIS, MemberLog, at, own_cluster, say
from judge.members import Members
from judge.subject import Subject, again
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError, ReadOnlyError
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from workshop.course import find_step
from workshop.redis_server import RedisServer
from workshop.server import Server, StartupError

from .test_solutions import run_in

pytestmark = [pytest.mark.thorough("the broker of step 11"), pytest.mark.anyio]

SOLUTION = find_step(11).solution
LEASE_TTL, LEASE_RENEW_INTERVAL = 2, 0.4
"""Seconds."""
SHORT_LEASES = {"LEASE_TTL": str(LEASE_TTL), "LEASE_RENEW_INTERVAL": str(LEASE_RENEW_INTERVAL)}
REPLIES = {"OOM": OutOfMemoryError, "READONLY": ReadOnlyError}
"""Replies to a write, and the exceptions that redis-py raises for them."""
needs_redis = pytest.mark.skipif(NO_REDIS, reason="there is no redis-server here")


@pytest.fixture
async def solution() -> AsyncIterator[Subject]:
    """Start the worked solution of step 11. The tests start further servers of it, with a Redis."""
    server = Server("exercise.main:app", SOLUTION)
    await asyncio.to_thread(server.wait_until_ready)
    subject = Subject(server, 5.0, SOLUTION)
    yield subject
    await subject.close()


async def nobody_left(*logs: MemberLog) -> None:
    """Read the messages on their way to these tabs, and fail if a tab was notified that a member left."""
    for log in logs:
        await log.settles(likely="")
        assert not [notice for notice in log.notices if notice[0] == "left"], log.notices


async def lists(host: Subject, room: str, *names: str) -> None:
    """Wait until a server lists these members."""
    expect = {"names": sorted(names)}
    await host.eventually(Members.list_path(room), lambda got: got == expect, after="", expect=str(expect), likely="")


@contextlib.asynccontextmanager
async def refusing_writes(redis: RedisServer, reply: str) -> AsyncIterator[None]:
    """Make Redis reply to every write with OOM, or with READONLY as a replica does."""
    async with Redis.from_url(redis.url) as client:
        if reply == "OOM":
            await client.config_set("maxmemory", 1)
        else:
            await client.replicaof("127.0.0.1", 1)
        with pytest.raises(REPLIES[reply]):
            await client.set("key", "value")
        yield
        if reply == "OOM":
            await client.config_set("maxmemory", 0)
        else:
            await client.replicaof("NO", "ONE")


@needs_redis
@pytest.mark.parametrize("reply", REPLIES)
async def test_error_replies(solution: Subject, reply: str) -> None:
    """If Redis replies with errors for longer than a lease lasts, no lease expires: all members stay on the lists."""
    async with (
        own_cluster(solution, 2, real=True, **SHORT_LEASES) as cluster,
        at(cluster[0], "lobby", "Ada") as ada,
        at(cluster[1], "lobby", "Grace") as grace,
    ):
        await lists(cluster[1], "lobby", "Ada", "Grace")
        async with refusing_writes(cluster.redis, reply):
            await asyncio.sleep(LEASE_TTL + 2 * LEASE_RENEW_INTERVAL)
        async with (
            solution.another(BROKER=cluster.redis.url, **SHORT_LEASES) as third,
            at(third, "lobby", "Linus") as linus,
        ):
            # A lease that's no longer renewed expires, and the new process notices it.
            await asyncio.sleep(LEASE_TTL + 2 * LEASE_RENEW_INTERVAL)
            for host in (*cluster.servers, third):
                await lists(host, "lobby", "Ada", "Grace", "Linus")
            await nobody_left(ada, grace, linus)


async def test_many_rooms(solution: Subject) -> None:
    """With 300 rooms, and a Redis that takes 20 ms to answer, leases are renewed in time."""
    async with (
        own_cluster(
            solution, 2, links=1, HEARTBEAT_INTERVAL="1000", LEASE_TTL="3", LEASE_RENEW_INTERVAL="0.8"
        ) as cluster,
        contextlib.AsyncExitStack() as stack,
        at(cluster[1], "lobby-0", "Grace") as grace,
    ):
        for number in range(300):
            await stack.enter_async_context(at(cluster[0], f"lobby-{number}", "Ada"))
        cluster.links[0].network.delay = 0.01
        # Wait for two lease TTLs, so each lease is renewed several times with all rooms.
        await asyncio.sleep(6)
        await lists(cluster[1], "lobby-0", "Ada", "Grace")
        await nobody_left(grace)


async def test_joins_of_many_rooms(solution: Subject) -> None:
    """When members join 40 rooms at the same time, they wait for a slow Redis together, not one after another."""
    async with (
        own_cluster(solution, 1, links=1, HEARTBEAT_INTERVAL="1000") as cluster,
        contextlib.AsyncExitStack() as stack,
    ):
        cluster.links[0].network.delay = 0.1
        paths = [Members.path(f"lobby-{number}", "Ada") for number in range(40)]
        started = time.monotonic()
        opening = (connect(cluster[0].server.ws(path), ping_interval=None, proxy=None) for path in paths)
        adas = [await stack.enter_async_context(ada) for ada in await asyncio.gather(*opening)]
        async with asyncio.timeout(20):
            for ada in adas:
                assert "members" in await ada.recv()
        # Each join sends two commands to Redis, with 0.2 s for each.
        assert time.monotonic() - started < 40 * 0.2


async def test_lost_without_a_close(solution: Subject) -> None:
    """A process that loses all connections to Redis without a close opens new ones before its lease expires."""
    rooms = [f"lobby-{number}" for number in range(30)]
    async with (
        own_cluster(solution, 2, links=1, HEARTBEAT_INTERVAL="1000") as cluster,
        contextlib.AsyncExitStack() as stack,
        at(cluster[1], rooms[0], "Grace") as grace,
    ):
        # Join at the same time, so the process has many connections.
        joining = [cluster[0].client(Members.path(room, "Ada")) for room in rooms]
        async with asyncio.TaskGroup() as tasks:
            for each in joining:
                tasks.create_task(stack.enter_async_context(each))
        ada = await stack.enter_async_context(at(cluster[0], rooms[0], "Ada"))
        await lists(cluster[1], rooms[0], "Ada", "Grace")
        link = cluster.links[0]
        link.portal.call(link.network.half_open)
        await say(grace, "hello")
        await ada.until(lambda: ada.messages, expect="hello", likely="", after="", seconds=6)
        # Wait for twice the lease TTL: by then, any other process removes expired leases from the lists.
        await asyncio.sleep(8)
        await nobody_left(ada, grace)
        assert ada.ids == [1]


@pytest.mark.parametrize("number", [5, 7, 8, 10, 11])
async def test_delete_of_a_member_that_rejoins(number: int) -> None:
    """DELETE gets its response within 2 s, although the member rejoins immediately again and again."""
    step = find_step(number)
    server = Server("exercise.main:app", step.solution)
    await asyncio.to_thread(server.wait_until_ready)
    removals = 0

    async def rejoin() -> None:
        nonlocal removals
        while True:
            async with connect(server.ws("/ws/lobby?name=Ada"), proxy=None) as ada:
                with contextlib.suppress(ConnectionClosed):
                    while True:
                        await ada.recv()
                removals += ada.close_code == 1008

    async with httpx.AsyncClient(base_url=server.url, timeout=2, trust_env=False) as client:
        rejoining = asyncio.create_task(rejoin())
        try:
            for removed in range(10):
                async with asyncio.timeout(5):
                    async for _ in again():
                        answer = await client.delete("/rooms/lobby/members/Ada")
                        # 404 before the first join, and between the close and the next join.
                        if answer.status_code != 404:
                            break
                assert answer.status_code == 204
                async with asyncio.timeout(5):
                    while removals <= removed:
                        await asyncio.sleep(0.01)
        finally:
            rejoining.cancel()
            await asyncio.gather(rejoining, return_exceptions=True)
            await asyncio.to_thread(server.kill)


ENDED = """
import asyncio

from exercise import redis_broker, scripts
from exercise.main import app
from exercise.manager import ConnectionManager
from redis.commands.core import AsyncScript

calls = 0


def ends(owner, name, call, wanted=lambda self: True):
    method = getattr(owner, name)

    async def broken(self, *args, **kwargs):
        global calls
        if wanted(self):
            calls += 1
            if calls == call:
                {how}
                # redis-py may swallow a cancel() that comes while it takes a connection from its pool.
                await asyncio.sleep(0)
        return await method(self, *args, **kwargs)

    setattr(owner, name, broken)


# The first call of each is made while the process subscribes.
{what}
"""
"""The solution, with an error in a background task of its broker."""
TASKS = {
    "listen": 'ends(redis_broker.RedisBroker, "_next_message", 2)',
    "renew": 'ends(AsyncScript, "__call__", 2, lambda self: self.script == scripts.RENEW_LEASE)',
    "refresh": 'ends(ConnectionManager, "refresh_presence", 2)',
}
HOW = {"fails": 'raise LookupError("a task fails")', "is canceled": "asyncio.current_task().cancel()"}


async def goes_on(server: Server) -> None:
    """Wait until a client can join, and receives its own message by way of Redis."""
    async with asyncio.timeout(20):
        async for _ in again():
            with contextlib.suppress(InvalidStatus):
                async with connect(server.ws("/ws/lobby?name=Ada"), proxy=None) as ada:
                    await ada.send('{"type": "message", "text": "hello"}')
                    while json.loads(await ada.recv())["type"] != "message":
                        pass
                    return


def has(text: str) -> Callable[[list[str]], bool]:
    """Return a function that returns whether a log has a line with this text."""
    return lambda log: any(text in line for line in log)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("task", TASKS)
async def test_task_that_ends(task: str, how: str, tmp_path: Path) -> None:
    """If a background task of the broker fails or is canceled, it continues, or the process ends visibly."""
    (tmp_path / "outer.py").write_text(ENDED.format(what=TASKS[task], how=HOW[how]), "utf-8")
    redis = await asyncio.to_thread(RedisServer)
    settings = {"BROKER": redis.url, "PYTHONPATH": str(SOLUTION), **SHORT_LEASES}
    server = Server("outer:app", tmp_path, environment=settings)
    try:
        # The process may end before it's ready.
        with contextlib.suppress(StartupError):
            await asyncio.to_thread(server.wait_until_ready)
        if (task, how) == ("listen", "fails"):
            assert await asyncio.to_thread(server.wait_for, has("LookupError: a task fails"), 20)
            await goes_on(server)
            return
        # The process may end before the client connects.
        with contextlib.suppress(OSError, InvalidHandshake):
            async with connect(server.ws("/ws/lobby?name=Ada"), proxy=None) as ada:
                async with asyncio.timeout(20):
                    await ada.wait_closed()
                # She gets 1013 if the broker has already stopped when she joins.
                assert ada.close_code in (1012, 1013)
        assert await asyncio.to_thread(server.wait_for, has("background task has ended"), 20)
        async with asyncio.timeout(20):
            async for _ in again():
                if server.exit_code is not None:
                    break
        assert has("LookupError: a task fails")(server.log) == (how == "fails")
    finally:
        server.kill()
        await asyncio.to_thread(redis.close)


def test_failed_task_of_the_manager() -> None:
    """If a task of the manager fails, that's logged, except for an outage, after which the room is sent."""
    script = """
        import asyncio
        import logging
        import sys

        from exercise.broker import BrokerUnavailable
        from exercise.manager import ConnectionManager

        async def fail(error):
            raise error

        async def main():
            manager = ConnectionManager(None)
            manager.start_task(fail(BrokerUnavailable()))
            manager.start_task(fail(LookupError("a task fails")))
            await asyncio.wait(manager.tasks)
            await asyncio.sleep(0)
            assert not manager.tasks

        logging.basicConfig(format="%(message)s", stream=sys.stdout)
        asyncio.run(main())
    """
    done = run_in(SOLUTION, script)
    assert done.count("A task of the manager has failed") == 1
    assert "LookupError: a task fails" in done and "BrokerUnavailable" not in done


def test_direct_message_before_the_list() -> None:
    """A direct message isn't sent to a tab before the tab's list of members."""
    script = """
        import asyncio
        import json

        from exercise.manager import ConnectionManager
        from exercise.memory import MemoryBroker
        from exercise.journal import Journal
        from exercise.tab import Tab

        async def main():
            broker = MemoryBroker(Journal(None))
            manager = ConnectionManager(broker)
            await broker.start(manager)
            update_presence, answered = broker.update_presence, asyncio.Event()

            async def slow(names):
                await answered.wait()
                return await update_presence(names)

            broker.update_presence = slow
            ada = Tab("Ada", None)
            joining = asyncio.create_task(manager.join("lobby", ada, None))
            await asyncio.sleep(0)
            direct = {"type": "direct", "from": "Grace", "to": "Ada", "text": "psst"}
            await broker.publish_transient("lobby", direct)
            answered.set()
            await joining
            await broker.publish_transient("lobby", direct)
            print([json.loads(ada.send_queue.get_nowait()["text"])["type"] for _ in range(ada.send_queue.qsize())])

        asyncio.run(main())
    """
    assert run_in(SOLUTION, script) == "['members', 'direct']\n"


def test_lost_cancellation() -> None:
    """The shutdown continues if a library loses a cancellation, as redis-py can while it waits for a connection."""
    script = """
        import asyncio
        import contextlib

        from exercise.supervision import supervised

        async def lose_one():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            await asyncio.Event().wait()

        async def main():
            async with asyncio.timeout(20):
                async with supervised(lose_one()):
                    await asyncio.sleep(0)

        asyncio.run(main())
    """
    run_in(SOLUTION, script)
