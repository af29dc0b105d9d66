"""Step 10, TODO 3: a history that every process replays."""

import asyncio
import contextlib
import itertools
import re

from judge import pool
from judge.cluster import Cluster, MemberLog, at, say, shared_cluster
from judge.members import Members, message
from judge.model import Failure, check
from judge.subject import Subject
from judge.tasks import spawn
from redis.asyncio import Redis

from .diagnosis import explained, shared_key
from .every_process import APART, EVERYWHERE, IN_REDIS, Causes, compare, has_no_time_limit, receives, said

KEPT = 100
STARTED_LATER = (
    "Your read_history() returns what this process has received since its start. Store each message in a stream in "
    "Redis, and read the stream with XRANGE."
)
JOINING = (
    "A message that's sent during a handshake is lost or sent twice: your read_history() reads the stream and the last "
    "id at two moments. Read both in one transaction."
)
STORED_OTHERWISE = (
    "The stream has another text than the one that was published, or read_history() returns another one. Add the same "
    "JSON to the stream that you publish, and return it unchanged."
)
NO_ID = (
    "Your read_history() returns a last id that isn't the room's, so chat.py compares `after` with it. Return the "
    "value of the counter's key, or 0 if the room has no message."
)
NOT_TRIMMED = "Your stream keeps old messages. Call XADD with MAXLEN and HISTORY_SIZE, without ~."
BLOCKS = "Your code passes ~ to MAXLEN, so Redis removes only whole blocks of entries. Remove the ~ after MAXLEN."
ABOUT = "Your stream is trimmed to another number of entries than 100. Trim it with XADD and MAXLEN, to HISTORY_SIZE."
TRIMMED_BEFORE = (
    "Your script trims the stream before it adds the message, which leaves one more, or it trims to HISTORY_SIZE + 1. "
    "Let XADD trim it: MAXLEN and HISTORY_SIZE."
)
NO_STREAM = "No stream in Redis has the messages of this room. Add each message with XADD, in the script."
TRIMMED = (
    "The stream of this room lacks one of the last 100 messages, or read_history() returns only some of them. Trim it "
    "to exactly HISTORY_SIZE entries, and read it without a COUNT."
)
NOT_BY_ID = "Your read_history() returns the messages in another order. Return them as XRANGE does, the oldest first."
REPLAY = Causes(
    missing=IN_REDIS,
    gap=IN_REDIS,
    twice="Your read_history() returns messages that aren't after `after`, or an entry twice. Start at after + 1.",
    order=NOT_BY_ID,
    number=(
        "A replayed message has another id: XADD with * chooses ids of its own. Pass the message's id to XADD, or "
        "store it as a field, and return it in StoredMessage."
    ),
    wrong=STORED_OTHERWISE,
)


class History:
    @check(3, "replays at another process than before")
    @explained
    async def test_elsewhere(self, subject: Subject) -> None:
        cluster = await shared_cluster(subject)
        room, other = Members.room(), Members.room("elsewhere")
        texts = list(pool.texts(long=False).values())
        last = len(texts)
        wanted = [message(number, "Ada", text) for number, text in enumerate(texts, 1)]
        async with (
            at(cluster[0], room, "Ada") as ada,
            at(cluster[0], other, "Zoe", after=0, likely=APART) as zoe,
        ):
            await say(zoe, "no other member is here")
            hello = [message(1, "Zoe", "no other member is here")]
            await receives(zoe, hello, after="Zoe sent the first message of another room", causes=REPLAY)
            await say(ada, *texts)
            await receives(ada, wanted, after=f"Ada sent {last} messages, and Zoe one in another room", causes=REPLAY)
            for host, since in itertools.product(cluster, (0, last, 2, last - 1)):
                after = f"Ada sent {last} messages, and Grace joined at another process with after={since}"
                async with at(host, room, "Grace", likely=NO_ID, after=since) as grace:
                    try:
                        await receives(grace, wanted[since:], after=after, causes=REPLAY)
                        await grace.settles(likely=IN_REDIS)
                        compare(grace, wanted[since:], after=after, causes=REPLAY)
                    except Failure as failure:
                        if any(each["from"] == "Zoe" for each in grace.messages):
                            failure.number, failure.likely = await shared_key(cluster) or (None, APART)
                        raise
            for host, (bad, where) in itertools.product(
                cluster, ((str(last + 1), room), ("-1", room), ("x", room), ("1", Members.room("empty")), ("2", other))
            ):
                ids = {room: last, other: 1}.get(where, 0)
                await self._rejects(host, where, bad, f"the last id of the room is {ids}")
        async with at(cluster[1], Members.room("empty"), "Grace", likely=NO_ID, after=0) as grace:
            await grace.settles(likely=IN_REDIS)
            compare(grace, [], after="Grace joined a room without messages, with after=0", causes=REPLAY)

    @staticmethod
    async def _rejects(host: Subject, room: str, bad: str, when: str) -> None:
        answer = await host.handshake(Members.path(room, "Grace", after=bad))
        if answer != 403:
            if not isinstance(answer, int):
                await answer.close()
            got = f"HTTP {answer}" if isinstance(answer, int) else "the handshake accepted"
            sent = f"a handshake with after={bad}; {when}"
            raise Failure(sent=sent, got=got, expect="HTTP 403", likely=NO_ID)

    @check(3, "replays at a process that was started later")
    @explained
    async def test_started_later(self, subject: Subject) -> None:
        cluster = await shared_cluster(subject)
        room = Members.room()
        sent = [message(number, "Ada", f"text {number}") for number in (1, 2, 3)]
        causes = Causes(
            missing=STARTED_LATER, gap=STARTED_LATER, twice=STARTED_LATER, order=REPLAY.order, number=REPLAY.number
        )
        async with at(cluster[0], room, "Ada") as ada:
            await say(ada, "text 1", "text 2", "text 3")
            await receives(ada, sent, after="Ada sent 3 messages", causes=REPLAY)
            after = "Ada sent 3 messages, then a process was started"
            async with subject.another(BROKER=cluster.redis.url) as later:
                # The process knows nothing of the room before this.
                await self._rejects(later, room, "4", f"{after}; the last id of the room is 3")
                async with (
                    at(later, room, "Grace", likely=STARTED_LATER, after=0) as grace,
                    at(later, room, "Linus", likely=STARTED_LATER, after=3) as linus,
                ):
                    after += ", and Grace joined there with after=0, and Linus with after=3"
                    await receives(grace, sent, after=after, causes=causes)
                    await say(ada, "text 4")
                    await ada.until(lambda: len(ada.messages) > 3, expect="message 4", likely=EVERYWHERE, after=after)
                    await say(grace, "text 5")
                    sent += [message(4, "Ada", "text 4"), message(5, "Grace", "text 5")]
                    after += "; then Ada sent one, and Grace one"
                    for log, first in ((ada, 0), (grace, 0), (linus, 3)):
                        await receives(log, sent[first:], after=after, causes=causes)

    @check(3, "keeps exactly the last 100 messages of each room in a stream, and sends a gap for earlier ones")
    @explained
    async def test_trimmed(self, subject: Subject) -> None:
        cluster = await shared_cluster(subject)
        room, quiet = pool.unique("lobby"), pool.unique("lobby")
        async with at(cluster[0], room, "Ada") as ada, at(cluster[0], quiet, "Zoe") as zoe:
            await say(zoe, "one", "two")
            pair = [message(1, "Zoe", "one"), message(2, "Zoe", "two")]
            await receives(zoe, pair, after="Zoe sent two messages", causes=REPLAY)
            texts = [f"{room}: {number}" for number in range(1, 131)]
            wanted = [message(number, "Ada", text) for number, text in enumerate(texts, 1)]
            # At each process the first time, because it has no copy of the history then.
            for host, count in ((cluster[1], KEPT - 1), (cluster[2], KEPT)):
                await say(ada, *texts[len(ada.messages) : count])
                await self._has_all(ada, wanted, count)
                await self._replays(host, room, wanted[:count], 0)
            async with subject.another(BROKER=cluster.redis.url) as later:
                await say(ada, texts[KEPT])
                await self._has_all(ada, wanted, KEPT + 1)
                await self._replays(later, room, wanted[: KEPT + 1], 0)
                await self._replays(later, room, wanted[: KEPT + 1], 1)
                await say(ada, *texts[KEPT + 1 :])
                await self._has_all(ada, wanted, len(wanted))
                after = "Zoe sent two messages, then 130 were sent in another room, and Linus joined Zoe's with after=0"
                async with at(later, quiet, "Linus", likely=NO_ID, after=0) as linus:
                    likely = "All rooms share the limit of 100 messages. Trim the stream of each room on its own."
                    causes = Causes(missing=likely, gap=likely, twice=likely, order=likely, number=likely)
                    await receives(linus, pair, after=after, causes=causes)
        await has_no_time_limit(cluster, room, "stream")
        for host, last in ((cluster[1], 10), (cluster[2], 29), (cluster[2], 30), (cluster[0], 31)):
            await self._replays(host, room, wanted, last)
        await self._is_stored(cluster, room)

    @staticmethod
    async def _has_all(log: MemberLog, wanted: list[dict[str, object]], count: int) -> None:
        await receives(log, wanted[:count], after=f"Ada sent {count} messages", causes=REPLAY)

    @staticmethod
    async def _replays(host: Subject, room: str, sent: list[dict[str, object]], last: int) -> None:
        missed = max(len(sent) - KEPT - last, 0)
        after = f"{len(sent)} messages were sent, and Grace joined at another process with after={last}"
        async with at(host, room, "Grace", likely=NO_ID, after=last) as grace:
            wanted = sent[last + missed :]
            ids = f"messages {wanted[0]['id']} to {len(sent)}"
            expect = f"a gap of {missed}, then {ids}" if missed else f"{ids}, and no gap"
            enough = lambda: len(grace.messages) >= len(wanted)  # noqa: E731
            await grace.until(enough, expect=expect, likely=TRIMMED, after=after)
            if grace.messages != wanted or sum(grace.gaps) != missed:
                raise Failure(after=after, got=str(grace), expect=expect, likely=TRIMMED)

    @staticmethod
    async def _is_stored(cluster: Cluster, room: str) -> None:
        async with Redis.from_url(cluster.redis.url, decode_responses=True) as redis:
            # Read all streams, because an answer may have others for other purposes.
            streams = {key: await redis.xrange(key) async for key in redis.scan_iter(_type="stream", count=1000)}
        lengths = {key: sum(f"{room}: " in str(entry) for entry in some) for key, some in streams.items()}
        if KEPT not in lengths.values():
            key, most = max(lengths.items(), key=lambda item: item[1], default=("", 0))
            got = f'the stream "{key}" with {most} messages of this room' if most else "no stream with one of them"
            likely = NO_STREAM if not most else NOT_TRIMMED if most >= 130 else ABOUT
            if most == KEPT + 1:
                likely = TRIMMED_BEFORE
            if likely in (NOT_TRIMMED, ABOUT) and await History._trims_blocks(cluster, room, key):
                likely = BLOCKS
            expect = "a stream with exactly the last 100"
            raise Failure(after="130 messages in one room", got=got, expect=expect, likely=likely)

    @staticmethod
    async def _trims_blocks(cluster: Cluster, room: str, key: str) -> bool:
        """Return whether a message is added to this stream, or trimmed, with ~, which only MONITOR shows."""
        if not cluster.redis.program:
            return False
        async with (
            Redis.from_url(cluster.redis.url, decode_responses=True) as redis,
            redis.monitor() as monitor,
            at(cluster[0], room, "Ada") as ada,
        ):
            await say(ada, "monitored")
            await ada.until(lambda: bool(ada.messages), expect="a message", likely=EVERYWHERE, after="one more message")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ada.tab.patience / 2):
                    async for each in monitor.listen():
                        command = each["command"]
                        if key in command and re.match(r"(?i)(XADD|XTRIM) .*MAXLEN ", command):
                            return bool(re.search(r"(?i) MAXLEN ~ ", command))
                        if room in command and command.upper().startswith("PUBLISH "):
                            return False
        return False

    @check(3, "loses and duplicates nothing for a member that joins under load")
    @explained
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
