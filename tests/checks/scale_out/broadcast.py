"""Step 10, TODOs 1 and 2: messages at every process, over one subscription for each process."""

import asyncio
import contextlib

from judge.cluster import NO_REDIS, MemberLog, at, say, shared_cluster, shortened
from judge.members import Members, message
from judge.messages import show
from judge.model import Failure, check
from judge.subject import Subject
from redis.asyncio import Redis

from .every_process import APART, EVERYWHERE, UNJUDGED, are, are_complete, said

ONE_ORDER = (
    "Each process counts its own ids, or two processes publish in another order than they count. Increment the id and "
    "publish the message in one script, because Redis runs a script in one step."
)

ACK_ID = (
    "Your publish() returns another id than the message has, or none. Return the id that the script has assigned, and "
    "for a key that's known already, the id of its message."
)


class Broadcast:
    @check(1, "delivers a message at every process, once, in one order")
    async def test_everybody(self, subject: Subject) -> None:
        cluster = await shared_cluster(subject)
        room = Members.room("lobby:1 한글")
        names = ("Ada", "Grace", "Linus")
        after = "three members at three processes sent 20 messages each, all at once"
        async with contextlib.AsyncExitStack() as stack:
            zoe = await stack.enter_async_context(at(cluster[1], Members.room("elsewhere"), "Zoe"))
            await say(zoe, "nobody is here")
            await said(zoe, 1, after="Zoe sent the first message of another room", likely=APART)
            logs = [await stack.enter_async_context(at(host, room, n)) for host, n in zip(cluster, names, strict=False)]
            await say(logs[0], "first")
            for log in logs:
                after_one = (
                    "Zoe sent a message in another room, and then Ada one here; the others are at other processes"
                )
                await log.until(lambda log=log: log.messages, expect="it", likely=EVERYWHERE, after=after_one)
                await said(log, 1, after=after_one, likely=APART)
                if log.messages != [message(1, "Ada", "first")]:
                    expect = show(message(1, "Ada", "first"))
                    raise Failure(sent='a message "first"', got=show(log.messages), expect=expect, likely=EVERYWHERE)
            texts = [[f'{name} {number} <b> "quoted" \\ 한글\n😀' for number in range(20)] for name in names]
            await asyncio.gather(*(say(log, *some) for log, some in zip(logs, texts, strict=True)))
            # Send one more after all others. When it arrives, a missing message is detected immediately.
            for log in logs:
                await log.settles(likely=ONE_ORDER)
            await say(logs[0], "last")
            after += ", and then Ada sent one more"
            for log in logs:
                await log.until(
                    lambda log=log: log.messages[-1]["text"] == "last",
                    expect="the message that Ada sent last",
                    likely=ONE_ORDER,
                    after=after,
                )
                are_complete(log, 62, after=after, likely=ONE_ORDER)
                if log.messages != logs[0].messages:
                    got = "the same ids with other messages at two processes"
                    raise Failure(after=after, got=got, expect="one order for all", likely=ONE_ORDER)
                for name, some in zip(names, texts, strict=True):
                    if [each["text"] for each in log.messages[1:-1] if each["from"] == name] != some:
                        got = f"the messages of {name} in another order, or changed"
                        raise Failure(after=after, got=got, expect="each sender's order", likely=ONE_ORDER)
            await asyncio.gather(*(say(log, "with a key", key=n) for log, n in zip(logs, names, strict=True)))
            for log, name in zip(logs, names, strict=True):
                await self._has_its_id(log, name)
            await zoe.settles(likely=APART)
            await said(zoe, 1, after=f"{after}, in another room than Zoe's", likely=APART)
        await are(cluster, room, after="all had left")
        async with at(cluster[1], room, "Grace") as grace:
            await say(grace, "next")
            after = "all had left after message 65, and Grace came back and sent a message"
            await grace.until(lambda: grace.messages, expect="message 66", likely=ONE_ORDER, after=after)
            if grace.ids != [66]:
                raise Failure(after=after, got=str(grace), expect="message 66", likely="ids are kept in Redis, by room")

    @staticmethod
    async def _has_its_id(log: MemberLog, name: str) -> None:
        """Check that the ack of a message with the sender's name as its key has the id of that message."""

        def own() -> list[int]:
            return [each["id"] for each in log.messages if each["from"] == name and each["text"] == "with a key"]

        after = f"{name} sent a message with a key"
        expect = "the message, and an ack with its id"
        await log.until(lambda: own() and name in log.acks, expect=expect, likely=ACK_ID, after=after)
        if own() != [log.acks[name]]:
            got = f"the message with the id {shortened(own())}, and an ack with the id {log.acks[name]}"
            raise Failure(after=after, got=got, expect=expect, likely=ACK_ID)

    @check(1, "delivers a burst, and disconnects no member that reads")
    async def test_burst(self, subject: Subject) -> None:
        cluster = await shared_cluster(subject)
        room = Members.room()
        # Use small buffers for Grace, so her connection is above the high-water mark from time to time.
        async with at(cluster[0], room, "Ada") as ada, at(cluster[1], room, "Grace", small_buffers=True) as grace:
            await say(ada, *(f"text {number} {'x' * 4000}" for number in range(300)))
            for log in (grace, ada):
                likely = "what is heard from Redis comes in bursts: let the members catch up in between"
                await said(log, 300, after="Ada sent 300 messages of 4 KB in one go", likely=likely)

    @check(2, "has one subscription for each process" + UNJUDGED)
    async def test_one_subscriber(self, subject: Subject) -> None:
        if NO_REDIS:
            return
        cluster = await shared_cluster(subject)
        async with contextlib.AsyncExitStack() as stack:
            rooms = [Members.room(), Members.room()]
            for number in range(24):
                place = at(cluster[number % 3], rooms[number % 2], f"Ada {number}")
                await stack.enter_async_context(place)
            redis = Redis.from_url(cluster.redis.url, decode_responses=True)
            stack.push_async_callback(redis.aclose)
            likely = "a subscription for each member: let the process listen once, and pass on what it hears"
            listening = len(await redis.client_list(_type="pubsub"))
            after = "24 members came, to two rooms at three processes"
            # Allow one more: another check may run a server at this Redis.
            most = len(cluster.servers) + 1
            if listening > most:
                got = f"{listening} connections in CLIENT LIST TYPE pubsub"
                raise Failure(after=after, got=got, expect=f"one a process, {most} at most", likely=likely)
            channels = await redis.pubsub_channels()
            for channel, count in await redis.pubsub_numsub(*channels) if channels else []:
                if count > most:
                    got = f"{count} subscriptions to {channel}, says PUBSUB NUMSUB"
                    raise Failure(after=after, got=got, expect=f"one a process, {most} at most", likely=likely)
