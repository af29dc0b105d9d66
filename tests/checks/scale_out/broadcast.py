"""Step 10, TODOs 1 and 2: messages at every process, over one subscription for each process."""

import asyncio
import contextlib
import json

import psutil
from judge import pool
from judge.cluster import NO_REDIS, Cluster, MemberLog, at, say, shared_cluster, shortened
from judge.differences import difference
from judge.members import Members, message
from judge.messages import show
from judge.model import Failure, check
from judge.subject import Subject, again
from redis.asyncio import Redis

from .between import TWO_STEPS
from .diagnosis import STAR, chosen_by_redis, explained, shared_key
from .every_process import APART, EVERYWHERE, UNJUDGED, Causes, are, compare, receives

ONE_ORDER = (
    "Each process counts its own ids, or two processes publish in another order than they count. Increment the id and "
    "publish the message in one script, because Redis runs a script in one step."
)
NOT_AWAITED = (
    "The messages of one sender overtake each other, although the ids are right: your publish() returns before Redis "
    "has replied. Await the script in it, and start no task."
)
OWN_IDS = (
    "Each process counts its own ids, or reads the last one and writes the next one in two commands, so two messages "
    'have the same id, and one of them is dropped. Call INCR in the script, on redis_keys(room_id, "last").'
)
ACK_ID = (
    "Your publish() returns another id than the message has, or none. Return the id that the script has assigned, and "
    "for a key that's known already, the id of its message."
)
NOT_SENT = (
    "A message with this text is lost, or not sent: the script fails on it, or the event isn't JSON any longer. Encode "
    "the text with json.dumps(), and put only the id into the JSON in the script, with .. and without a pattern."
)
SENT_TWICE = (
    "The members get each message twice: from the broker and from the sender's process itself, or from two publishes. "
    "Publish it once, and send only what _listen() receives."
)
NO_PAUSE = (
    "Your _dispatch() handles a burst from Redis without yielding control, so the queue of a member that reads is full "
    "before its writer runs. Keep await asyncio.sleep(0) at the end of _dispatch()."
)
SUBSCRIBED = (
    "Your process opens another subscribed connection for a member or a room. Subscribe once in start(), to a pattern, "
    "and let _listen() send what it receives to all members of the room."
)
FIRST = Causes(
    missing=EVERYWHERE,
    gap=ONE_ORDER,
    twice=SENT_TWICE,
    order=ONE_ORDER,
    number="The room's first message doesn't have the id 1. " + APART,
)
BURST = Causes(missing=NO_PAUSE, gap=NO_PAUSE, twice=SENT_TWICE, order=ONE_ORDER, number=ONE_ORDER)


class Broadcast:
    @check(1, "delivers a message at every process, once, in one order")
    @explained
    async def test_everybody(self, subject: Subject) -> None:
        cluster = await shared_cluster(subject)
        room = Members.room("lobby:1 한글")
        names = ("Ada", "Grace", "Linus")
        async with contextlib.AsyncExitStack() as stack:
            zoe = await stack.enter_async_context(at(cluster[1], Members.room("elsewhere"), "Zoe"))
            hello = [message(1, "Zoe", "no other member is here")]
            await say(zoe, hello[0]["text"])
            await receives(zoe, hello, after="Zoe sent the first message of another room", causes=FIRST)
            logs = [await stack.enter_async_context(at(host, room, n)) for host, n in zip(cluster, names, strict=False)]
            await say(logs[0], "first")
            after = (
                f'Zoe sent a message in another room, and then Ada one in the room "{room}"; the others are at other '
                "processes"
            )
            for log in logs:
                try:
                    await receives(log, [message(1, "Ada", "first")], after=after, causes=FIRST)
                except Failure as failure:
                    if (log.gaps or log.ids[:1] not in ([], [1])) and (found := await shared_key(cluster)):
                        failure.number, failure.likely = found
                    raise
            texts = self._texts()
            await asyncio.gather(*(say(log, *some) for log, some in zip(logs, texts, strict=True)))
            # Send one more after all others. When it arrives, a missing message is detected immediately.
            after = "three members at three processes sent 30 messages each at the same time, and then Ada one more"
            for log in logs:
                try:
                    await log.settles(likely=NOT_SENT)
                except Failure as failure:
                    failure.after, failure.expect = after, "all messages at all members"
                    raise
            await say(logs[0], "last")
            await self._agree(logs, names, texts, after)
            await asyncio.gather(*(say(log, "with a key", key=n) for log, n in zip(logs, names, strict=True)))
            for log, name in zip(logs, names, strict=True):
                await self._has_its_id(log, name)
            await zoe.settles(likely=APART)
            compare(zoe, hello, after=f"{after}, in another room than Zoe's", causes=FIRST)
            last = sum(map(len, texts)) + 2 + len(names)
        await are(cluster, room, after="all had left")
        expired = await self._let_expire(cluster, room)
        after = f"all had left after message {last}, and later Grace joined again and sent a message"
        async with at(cluster[1], room, "Grace") as grace:
            await say(grace, "next")
            likely = (
                "The room's last id isn't kept as long as the room has been used. Keep it in a key of Redis without a "
                "time limit, and don't delete it."
            )
            causes = Causes(missing=likely, gap=likely, twice=likely, order=likely, number=likely)
            try:
                await receives(grace, [message(last + 1, "Grace", "next")], after=after, causes=causes)
            except Failure as failure:
                if await chosen_by_redis(cluster, room):
                    failure.number, failure.likely, failure.certain = 3, STAR, True
                if expired:
                    failure.certain = True
                    failure.likely = (
                        f'The key "{expired[0]}" in Redis has a time limit, which passes while the room is empty. '
                        "Remove the time limit, such as EXPIRE."
                    )
                raise

    @staticmethod
    def _texts() -> list[list[str]]:
        """Return the texts of three members, in different orders; some are equal, and one of them is long."""
        drawn = pool.texts()
        long = drawn.pop("long")
        some = [*drawn.values(), "again", "again"]
        return [[*some, long], [*some[10:], *some[:10]], [*some[20:], *some[:20]]]

    @staticmethod
    async def _agree(logs: list[MemberLog], names: tuple[str, ...], texts: list[list[str]], after: str) -> None:
        """Check that all members get these texts, in each sender's order, and in one order for all."""
        total = sum(map(len, texts)) + 2
        expect = f"messages 1 to {total}, each once, in the order of their ids, and no gap"
        for log in logs:
            # An early end, because a lost message never arrives.
            done = lambda log=log: any(each["text"] == "last" for each in log.messages)  # noqa: E731
            await log.until(done, expect=expect, likely=ONE_ORDER, after=after)
            if log.ids == list(range(1, len(log.ids) + 1)):
                # "last" may have overtaken others, which arrive later.
                all_of_them = lambda log=log: len(log.messages) >= total  # noqa: E731
                with contextlib.suppress(Failure):
                    await log.until(all_of_them, expect=expect, likely=ONE_ORDER, after=after)
        for log in logs:
            # A message is dropped if one with a larger id was there before, a gap, or one with the same id.
            dropped = TWO_STEPS if log.gaps else OWN_IDS
            got = [(each["from"], each["text"]) for each in log.messages[1:]]
            sent = {name: some for name, some in zip(names, texts, strict=True)}
            sent[names[0]] = [*sent[names[0]], "last"]
            if strange := [each for each in got if each[0] not in names]:
                likely = difference(message(0, names[0], ""), json.dumps(message(0, strange[0][0], ""))) or EVERYWHERE
                expect = f"messages from {', '.join(names)}"
                raise Failure(after=after, got=f"a message from {show(strange[0][0])}", expect=expect, likely=likely)
            for name, some in sent.items():
                own = [text for sender, text in got if sender == name]
                if changed := next((text for text in own if text not in some), None):
                    wanted = some[min(own.index(changed), len(some) - 1)]
                    likely = difference(message(0, name, wanted), json.dumps(message(0, name, changed))) or NOT_SENT
                    raise Failure(after=after, got=show(changed), expect=show(wanted), likely=likely)
                if lost := next((text for text in some if own.count(text) < some.count(text)), None):
                    # A text that breaks something is lost from all its senders; ids that clash lose any message.
                    pairs = {(who, text) for who, all_texts in sent.items() for text in all_texts} - set(got)
                    gone = {text for _, text in pairs}
                    by_text = gone and all(text not in {one for _, one in got} for text in gone)
                    likely = NOT_SENT if by_text and not log.gaps else dropped
                    got = f"no message with {show(lost)} from {name}; all: {log}"
                    raise Failure(after=after, got=got, expect=expect, likely=likely)
                if own != some:
                    likely = SENT_TWICE if len(own) > len(some) else ONE_ORDER
                    if likely == ONE_ORDER and log.ids == list(range(1, len(log.ids) + 1)):
                        likely = NOT_AWAITED
                    what = f"{name}'s messages " + ("with one twice" if len(own) > len(some) else "in another order")
                    raise Failure(after=after, got=f"{what}; all: {log}", expect=expect, likely=likely)
            if log.ids != list(range(1, total + 1)) or log.gaps:
                raise Failure(after=after, got=str(log), expect=expect, likely=TWO_STEPS if log.gaps else ONE_ORDER)
            if log.messages[-1]["text"] != "last":
                got = f"messages after the last one; all: {log}"
                raise Failure(after=after, got=got, expect=expect, likely=NOT_AWAITED)
            if log.messages != logs[0].messages:
                got = "the same ids with other messages at two processes"
                raise Failure(after=after, got=got, expect="the same messages for the same ids", likely=ONE_ORDER)

    @staticmethod
    async def _let_expire(cluster: Cluster, room: str) -> list[str]:
        """Delete the keys of an empty room that have a time limit, as if it had passed, and return them."""
        expired = []
        async with Redis.from_url(cluster.redis.url, decode_responses=True) as redis:
            async for key in redis.scan_iter(count=1000):
                if room in key and await redis.ttl(key) >= 0:
                    await redis.delete(key)
                    expired.append(key)
        return expired

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
    @explained
    async def test_burst(self, subject: Subject) -> None:
        cluster = await shared_cluster(subject)
        room = Members.room()
        # Use small buffers for Grace, so her connection is above the high-water mark from time to time.
        async with at(cluster[0], room, "Ada") as ada, at(cluster[1], room, "Grace", small_buffers=True) as grace:
            texts = [f"text {number} {'x' * 4000}" for number in range(300)]
            await say(ada, *texts)
            wanted = [message(number, "Ada", text) for number, text in enumerate(texts, 1)]
            for log in (grace, ada):
                await receives(log, wanted, after="Ada sent 300 messages of 4 KB in one go", causes=BURST)

    @check(2, "has one subscribed connection for each process" + UNJUDGED)
    @explained
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
            after = "24 members joined, in two rooms, at three processes"
            for number, host in enumerate(cluster.servers[:3], 1):
                # Look once in any case, however long it takes. Connections that just end may be in the list.
                most, waiting = await self._subscribed(redis, host)
                end = asyncio.get_running_loop().time() + host.patience / 2
                async for _ in again():
                    if most <= 1 or asyncio.get_running_loop().time() > end:
                        break
                    most, waiting = await self._subscribed(redis, host)
                if most > 1:
                    got = f"process {number} has {most} connections in CLIENT LIST that {waiting}"
                    expect = "one subscribed connection at each process"
                    raise Failure(after=after, got=got, expect=expect, likely=SUBSCRIBED)

    @staticmethod
    async def _subscribed(redis: Redis, host: Subject) -> tuple[int, str]:
        """Return the number of a process's connections that are subscribed or wait for entries, and what they do."""
        ports = {each.laddr.port for each in psutil.Process(host.server.pid).net_connections("tcp")}
        found = []
        for each in await redis.client_list():
            is_subscribed = any(int(each.get(kind, 0)) for kind in ("sub", "psub", "ssub"))
            if int(each["addr"].rpartition(":")[2]) in ports and (is_subscribed or "b" in each["flags"]):
                found.append("are subscribed" if is_subscribed else f"wait in {each['cmd'].upper()}")
        return len(found), found[0] if found else ""
