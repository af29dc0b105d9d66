"""Step 10, TODO 3: a history that every process replays."""

import asyncio
import contextlib
import itertools

from judge.cluster import MemberLog, at, say, shared_cluster
from judge.members import Members, message
from judge.model import Failure, check
from judge.subject import Subject
from judge.tasks import spawn
from redis.asyncio import Redis

from .every_process import APART, EVERYWHERE, IN_REDIS, said

KEPT = 100
TRIMMED = "what is said goes to a stream, by XADD with MAXLEN"
STARTED_LATER = (
    "Your read_history() returns what this process has received since its start. Store each message in a stream in "
    "Redis, and read the stream with XRANGE."
)
JOINING = "between the reading of the stream and the first message that is passed on, nothing may be lost or doubled"


class History:
    @check(3, "replays at another process than before")
    async def test_elsewhere(self, subject: Subject) -> None:
        cluster = await shared_cluster(subject)
        room = Members.room()
        async with (
            at(cluster[0], room, "Ada") as ada,
            at(cluster[0], Members.room("elsewhere"), "Zoe", after=0, likely=APART) as zoe,
        ):
            await say(zoe, "nobody is here")
            await said(zoe, 1, after="Zoe sent the first message of another room", likely=APART)
            await say(ada, *(f"text {number}" for number in range(1, 6)))
            await said(ada, 5, after="Ada sent 5 messages, and Zoe one in another room", likely=IN_REDIS)
            for host, last in itertools.product(cluster, (2, 0, 5)):
                after = f"a handshake with after={last} at another process than Ada's; 5 messages are there"
                async with at(host, room, "Grace", likely=IN_REDIS, after=last) as grace:
                    await grace.until(
                        lambda grace=grace, last=last: len(grace.messages) >= 5 - last,
                        expect=f"messages {last + 1} to 5" if last < 5 else "nothing",
                        likely=IN_REDIS,
                        after=after,
                    )
                    await grace.settles(likely=IN_REDIS)
                    wanted = [message(number, "Ada", f"text {number}") for number in range(last + 1, 6)]
                    if grace.messages != wanted or grace.gaps:
                        likely = APART if any(each["from"] == "Zoe" for each in grace.messages) else IN_REDIS
                        raise Failure(after=after, got=str(grace), expect=f"messages {last + 1} to 5", likely=likely)
            for host, bad in itertools.product(cluster, ("6", "-1", "x")):
                answer = await host.handshake(Members.path(room, "Grace", after=bad))
                if answer != 403:
                    if not isinstance(answer, int):
                        await answer.close()
                    got = f"HTTP {answer}" if isinstance(answer, int) else "the socket accepted"
                    sent = f"a handshake with after={bad}, when the last id is 5"
                    likely = "as in step 08, what is no id of the room is refused before accept"
                    raise Failure(sent=sent, got=got, expect="HTTP 403", likely=likely)

    @check(3, "replays at a process that was started later")
    async def test_started_later(self, subject: Subject) -> None:
        cluster = await shared_cluster(subject)
        room = Members.room()
        async with at(cluster[0], room, "Ada") as ada:
            await say(ada, "text 1", "text 2", "text 3")
            await said(ada, 3, after="Ada sent 3 messages", likely=EVERYWHERE)
            async with (
                subject.another(BROKER=cluster.redis.url) as later,
                at(later, room, "Grace", likely=STARTED_LATER, after=0) as grace,
            ):
                after = "Ada sent 3 messages, then a process was started, and Grace joined there with after=0"
                await said(grace, 3, after=after, likely=STARTED_LATER)
                await say(ada, "text 4")
                for log in (ada, grace):
                    await said(log, 4, after=f"{after}; then Ada sent another one", likely=STARTED_LATER)

    @check(3, "keeps the last 100 messages in a stream, and sends a gap for earlier ones")
    async def test_trimmed(self, subject: Subject) -> None:
        cluster = await shared_cluster(subject)
        room = Members.room()
        async with at(cluster[0], room, "Ada") as ada:
            await say(ada, *(f"{room}: {number}" for number in range(1, 251)))
            await said(ada, 250, after="Ada sent 250 messages", likely=EVERYWHERE)
        for host, last in ((cluster[1], 10), (cluster[2], 149), (cluster[2], 150), (cluster[0], 151)):
            missed = max(250 - KEPT - last, 0)
            after = f"250 messages were sent, all had left, and Grace came with after={last}"
            likely = "XADD with MAXLEN 100, exactly; and what after= asks for and the stream has not is told as a gap"
            async with at(host, room, "Grace", likely=IN_REDIS, after=last) as grace:
                wanted = list(range(last + missed + 1, 251))
                expect = f"a gap of {missed} and then " * bool(missed) + f"messages {wanted[0]} to 250"
                await grace.until(
                    lambda grace=grace, wanted=wanted: len(grace.messages) >= len(wanted),
                    expect=expect,
                    likely=likely,
                    after=after,
                )
                if grace.ids != wanted or sum(grace.gaps) != missed:
                    raise Failure(after=after, got=str(grace), expect=expect, likely=likely)
        redis = Redis.from_url(cluster.redis.url, decode_responses=True)
        try:
            # Read all streams, because an answer may have others for other purposes.
            streams = [await redis.xrange(key) async for key in redis.scan_iter(_type="stream", count=1000)]
        finally:
            await redis.aclose()
        lengths = [sum(f"{room}: " in str(entry) for entry in entries) for entries in streams]
        if not any(KEPT <= length <= 2 * KEPT for length in lengths):
            got = f"{max(lengths, default=0)} of them in a stream"
            raise Failure(after="250 messages in one room", got=got, expect="the last 100", likely=TRIMMED)

    @check(3, "loses and duplicates nothing for a member that joins under load")
    async def test_under_load(self, subject: Subject) -> None:
        cluster = await shared_cluster(subject)
        room = Members.room()
        total = 90
        async with contextlib.AsyncExitStack() as stack:
            ada = await stack.enter_async_context(at(cluster[0], room, "Ada"))
            talking = spawn(self._talk(ada, total))
            stack.callback(talking.cancel)
            later = []
            while not talking.done():
                host = cluster[1 + len(later) % 2]
                path = at(host, room, f"Grace {len(later)}", likely=JOINING, after=0)
                later.append(await stack.enter_async_context(path))
                await asyncio.sleep(0.02)
            after = f"a handshake with after=0, while Ada was sending {total} messages at another process"
            for grace in later:
                await said(grace, total, after=after, likely=JOINING)

    @staticmethod
    async def _talk(log: MemberLog, total: int) -> None:
        for number in range(total):
            await say(log, f"text {number}")
            await asyncio.sleep(0.004)
