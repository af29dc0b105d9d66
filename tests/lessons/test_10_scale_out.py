"""Step 09: what its notebook states about many processes, verified on the running lesson."""

import asyncio
import contextlib

import pytest
from judge.clients import anything
from judge.cluster import MemberLog, at, own_cluster, say
from judge.members import Members
from judge.subject import Subject
from redis.asyncio import Redis
from workshop.course import find_step
from workshop.redis_server import RedisServer
from workshop.server import Server


async def receives(log: MemberLog, number: int) -> None:
    """Listen until so many messages have come."""
    await log.until(lambda: len(log.messages) >= number, expect=f"{number} messages", likely="", after="")


@pytest.mark.anyio
class TestLesson:
    def test_begins_with_the_solution(self) -> None:
        """What the lesson does not need to change is the solution of step 08, word for word."""
        before, app = find_step(8).solution / "exercise", find_step(9).folder / "app"
        for name in ("connection", "encoding", "members", "messages", "supervision", "tab"):
            both = [(folder / f"{name}.py").read_text("utf-8").partition("\n")[2] for folder in (before, app)]
            assert both[0] == both[1], name

    async def test_half_of_them(self, lesson: Subject) -> None:
        """Of two workers, the one that has not the sender tells its members nothing."""
        workers = Server("app.main:app", lesson.folder, extra=("--workers", "2"))
        try:
            await asyncio.to_thread(workers.wait_until_ready)
            both = lambda log: sum("startup complete" in line for line in log) == 2  # noqa: E731
            assert await asyncio.to_thread(workers.wait_for, both, 10)
            subject = Subject(workers, 2, lesson.folder)
            for number in range(10):
                # The system decides which worker gets a connection, and all may get to the same.
                async with contextlib.AsyncExitStack() as stack:
                    places = [at(subject, f"lobby-{number}", f"Ada {each}") for each in range(10)]
                    logs = [await stack.enter_async_context(place) for place in places]
                    await say(logs[0], "hello")
                    await receives(logs[0], 1)
                    for log in logs:
                        await log.settles(likely="")
                    if 1 <= sum(bool(log.messages) for log in logs) < 10:
                        break
            else:
                pytest.fail("all heard it, ten times")
            await subject._http.aclose()
        finally:
            await asyncio.to_thread(workers.kill)

    async def test_over_redis(self, lesson: Subject) -> None:
        """With a broker all members get it, over one subscription a process; ids, lists and history are still apart."""
        async with own_cluster(lesson, 2) as cluster:
            async with contextlib.AsyncExitStack() as stack:
                places = [at(cluster[each % 2], "lobby", f"Ada {each}") for each in range(10)]
                logs = [await stack.enter_async_context(place) for place in places]
                await say(logs[0], "hello")
                for log in logs:
                    await receives(log, 1)
                redis = Redis.from_url(cluster.redis.url, decode_responses=True)
                assert dict(await redis.pubsub_numsub("chat")) == {"chat": 2}
                await redis.aclose()
            for number in range(20):
                room = f"lab-{number}"
                async with at(cluster[0], room, "Ada") as ada, at(cluster[1], room, "Grace") as grace:
                    assert (await cluster[0].get_json(Members.list_path(room), likely=""))["names"] == ["Ada"]
                    assert (await cluster[1].get_json(Members.list_path(room), likely=""))["names"] == ["Grace"]
                    # Each process has its message before it can receive the other one's, on a busy machine too.
                    with cluster[0].suspended(), cluster[1].suspended():
                        await asyncio.gather(say(ada, "from Ada"), say(grace, "from Grace"))
                    await receives(ada, 2)
                    if ada.ids == [1, 1]:
                        break
            else:
                pytest.fail("the ids were different, twenty times")
            async with (
                lesson.another(BROKER=cluster.redis.url) as third,
                at(third, room, "Grace", after=0) as grace,
            ):
                await grace.settles(likely="")
                assert not grace.messages

    async def test_deaf(self, lesson: Subject) -> None:
        """In an outage of Redis, the sender is disconnected. After it, there's an ack, and no member gets it."""
        async with own_cluster(lesson, 2) as cluster, at(cluster[1], "lab", "Grace") as grace:
            async with at(cluster[0], "lab", "Ada") as ada:
                await asyncio.to_thread(cluster.redis.kill)
                await say(ada, "anybody there?")
                await ada.tab.is_closed(1006, likely="", besides=anything)
            await asyncio.to_thread(cluster.redis.start)
            async with at(cluster[0], "lab", "Ada") as ada:
                await say(ada, "and now?", key="k")
                await ada.until(lambda: ada.acks, expect="an ack", likely="", after="")
                for log in (ada, grace):
                    await log.settles(likely="")
                    assert not log.messages

    async def test_page(self, lesson: Subject) -> None:
        """The browser page is served at /."""
        assert (await lesson.get("/", likely="")).headers["content-type"].startswith("text/html")

    def test_dies_with_its_starter(self) -> None:
        """The Redis of a notebook is a process of its own, real or not, and can be killed and started again."""
        for real in (False, None):
            redis = RedisServer(real=real)
            redis.kill()
            redis.start()
            assert redis._answers()
            redis.close()
            assert not redis._answers()
