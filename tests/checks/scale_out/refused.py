"""Step 10: a Redis that refuses a message, or that ends."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator

from judge import pool
from judge.cluster import MemberLog, at, own_cluster, say, shared_cluster
from judge.messages import show
from judge.model import Failure, Likely, check
from judge.subject import Subject
from redis.asyncio import Redis
from websockets.exceptions import ConnectionClosed
from workshop.redis_server import RedisServer

from .diagnosis import explained
from .every_process import NO_REDIS, UNJUDGED

UNSTORED = (
    "A message that XADD couldn't store is published or acknowledged. Call XADD with redis.call() before PUBLISH: its "
    "error ends the script."
)
KEY_LEFT = (
    "A message that XADD couldn't store leaves its key behind, so the message is a duplicate when the client sends it "
    "again. In the script, store the key after XADD."
)
LOOKS_ALIVE = (
    "The process runs on without its subscription, so its members receive nothing. Run the listen task in "
    "supervised(): when the task ends, the server shuts down."
)
LIMITED = "limited"
"""A user of Redis that may not call XADD for a while, as with a disk that's full or a wrong access list."""


@contextlib.asynccontextmanager
async def _limited(server: RedisServer, redis: Redis) -> AsyncIterator[str]:
    """Create a user of Redis, whose permissions can change, and yield the URL with which a process uses it."""
    password = secrets.token_hex()
    await redis.acl_setuser(
        LIMITED,
        enabled=True,
        passwords=[f"+{password}"],
        keys=["*"],
        channels=["*"],
        categories=["+@all"],
        reset=True,
    )
    try:
        yield server.url.replace("://", f"://{LIMITED}:{password}@")
    finally:
        await redis.acl_deluser(LIMITED)


class Refused:
    @check(3, "publishes and acknowledges no message that Redis can't store" + UNJUDGED, quiet=False)
    @explained
    async def test_unstored(self, subject: Subject) -> None:
        if NO_REDIS:
            return
        cluster = await shared_cluster(subject)
        room, other = pool.unique("lobby"), pool.unique("lobby")
        # Noisy: the error ends the endpoint of its sender with a traceback.
        async with (
            Redis.from_url(cluster.redis.url, decode_responses=True) as redis,
            _limited(cluster.redis, redis) as url,
            subject.another(BROKER=url, noisy=True) as own,
            at(cluster[1], room, "Zoe") as zoe,
            at(cluster[1], other, "Zoe") as fence,
            at(own, room, "Ada") as ada,
        ):
            await say(zoe, "first")
            await zoe.until(lambda: bool(zoe.messages), expect="message 1", likely=UNSTORED, after="Zoe sent one")
            await redis.acl_setuser(LIMITED, commands=["-xadd"])
            after = "Redis refused XADD, because the user of this process had no permission for it"
            await say(ada, "hello", key="hello")
            with contextlib.suppress(Failure, ConnectionClosed):
                await ada.until(lambda: bool(ada.acks or ada.errors), expect="", likely="", after="")
            await redis.acl_setuser(LIMITED, commands=["+xadd"])
            await self._is_refused(own, ada, zoe, fence, other, after)
            async with at(own, room, "Ada") as again:
                await say(again, "hello", key="hello")
                await zoe.until(
                    lambda: any(each["text"] == "hello" for each in zoe.messages),
                    expect='the message "hello"',
                    likely=KEY_LEFT,
                    after=f"{after}; then XADD worked, and Ada sent the message again",
                )

    @staticmethod
    async def _is_refused(
        own: Subject, ada: MemberLog, zoe: MemberLog, fence: MemberLog, other: str, after: str
    ) -> None:
        # What the process has published before arrives before this.
        async with at(own, other, "Ada") as sender:
            await say(sender, "fence")
            await fence.until(
                lambda: bool(fence.messages), expect="a message in another room", likely=UNSTORED, after=after
            )
        await zoe.settles(likely=UNSTORED)
        if wrong := [each for each in zoe.messages if each["text"] == "hello"]:
            raise Failure(after=after, got=show(wrong[0]), expect="no message", likely=UNSTORED)
        if ada.acks:
            raise Failure(after=after, got=f"an ack with the id {ada.acks['hello']}", expect="no ack", likely=UNSTORED)

    @check(2, "ends its process when its subscription ends, and its members get 1012" + UNJUDGED, quiet=False)
    @explained
    async def test_outage(self, subject: Subject) -> None:
        if NO_REDIS:
            return
        # Noisy: the end of the subscription is logged with a traceback.
        async with own_cluster(subject, 1, noisy=True) as cluster, at(cluster[0], pool.unique("lobby"), "Ada") as ada:
            # With a key: after the ack, her endpoint waits for no reply of Redis.
            await say(ada, "hello", key="hello")
            await ada.until(
                lambda: bool(ada.messages) and "hello" in ada.acks,
                expect="message 1 and its ack",
                likely=LOOKS_ALIVE,
                after="Ada sent a message with a key",
            )
            await asyncio.to_thread(cluster.redis.kill)
            ada.tab.did = "nothing; Redis was killed"
            await ada.tab.is_closed(1012, likely=Likely(LOOKS_ALIVE, closed=LOOKS_ALIVE))
