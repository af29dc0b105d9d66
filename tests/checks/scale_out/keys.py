"""Step 10, TODO 4: idempotency keys across all processes, and the broker without Redis."""

import asyncio
import contextlib
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from judge import pool
from judge.clients import anything
from judge.cluster import Cluster, MemberLog, at, say, separate_cluster, shared_cluster
from judge.members import Members, message
from judge.messages import cut
from judge.model import Failure, check
from judge.subject import Subject
from redis.asyncio import Redis

from .between import LOOKED_UP
from .diagnosis import explained, keys_in
from .every_process import KEYS, Causes, has_no_time_limit, receives, said

IN_MEMORY = (
    "Your process stores the keys in its own memory, so no other process finds them. Store them in Redis, in the "
    "script: ZADD."
)
HASHED = (
    "Your code stores the keys under hash(), or with something else that's another one in each process. Store "
    "json.dumps([sender, key])."
)
NOT_AT_ALL = (
    "Your code doesn't find a key that the same process has stored, or stores none. Look it up at the beginning of the "
    "script, ZSCORE, and store it with the id at the end, ZADD, both with the same string."
)
JOINED = (
    "Your code takes two pairs of sender and key for one, because joining them with a separator gives the same string. "
    "Use json.dumps([sender, key])."
)
KEY_CHANGED = (
    "Your code takes two keys for one, because it changes a key, cuts it, or converts it to a number. Use the key "
    "unchanged."
)
NUMBERS = "Your code takes two keys for one, because it converts a key to a number. Store the string unchanged."
OF_ANY_SENDER = (
    "The key is stored without its sender, or the sender's name is changed. Store the pair: json.dumps([sender, key])."
)
OF_ANY_ROOM = (
    "The keys of all rooms are in one place. Store the keys of each room in its own sorted set: the key of it is "
    'redis_keys(room_id, "keys").'
)
NOT_KNOWN = (
    "Your code doesn't find this pair of sender and key again, at another process. Store and look up the same string, "
    "and leave out what differs from one request to the next."
)
NOT_ITS_ID = (
    "For a known key, your code returns another id than the one of its message, such as the room's last one. Return "
    "the id that's stored with the key."
)
SENT_AGAIN = (
    "For a known key, your code returns the id of the first message, and sends the message again nevertheless. Return "
    "before INCR, XADD and PUBLISH."
)
ID_LOST = (
    "For a known key, your code increments the counter, so no message gets this id. Look the key up first, and call "
    "INCR only for a new message."
)
WITHOUT_KEY = (
    "Messages without a key are taken for duplicates, because an empty key is stored too. Look up and store a key only "
    "if there is one."
)
WINDOW = 1000
"""The number of keys of a room that a server knows."""
FORGOTTEN = (
    "Your server has forgotten one of the last 1000 keys of the room, and sent its message again. Keep DEDUP_WINDOW "
    "keys, whatever the stream still has, and remove the oldest ones first: ZREMRANGEBYRANK with 0 and "
    "-1 - DEDUP_WINDOW."
)
WITH_MESSAGE = (
    "Your script stores the key, and ignores it because its message isn't in the stream any longer. Return the stored "
    "id without looking at the stream."
)
ONE_LESS = (
    "Your code keeps 999 keys, one less than DEDUP_WINDOW. With ZREMRANGEBYRANK, the last place to remove is "
    "-1 - DEDUP_WINDOW, not -DEDUP_WINDOW."
)
BY_ID = (
    "Your code removes keys by the id of the last message, so messages without a key push them out. Remove them by "
    "their place: ZREMRANGEBYRANK with 0 and -1 - DEDUP_WINDOW."
)
FEW = "Your code keeps only {} keys of the room. Set DEDUP_WINDOW in settings.py to 1000, and pass it to the script."
NEVER_REMOVED = (
    "Your code doesn't remove old keys: a sorted set of the room has {} of them. After ZADD, call ZREMRANGEBYRANK with "
    "0 and -1 - DEDUP_WINDOW."
)
ONE_MORE = (
    "Your code keeps 1001 keys, one more than DEDUP_WINDOW: it removes the oldest one before ZADD, or counts its place "
    "wrong. After ZADD, call ZREMRANGEBYRANK with 0 and -1 - DEDUP_WINDOW."
)
FOR_EACH_SENDER = (
    "Your code keeps 1000 keys for each sender, and not for each room. Store the keys of all senders in one sorted "
    'set: redis_keys(room_id, "keys").'
)
OLD_ONES = (
    "Your code keeps more than the last 1000 keys of the room. Store them in one sorted set, and remove the oldest one "
    "when it has more than DEDUP_WINDOW keys."
)
FORGETS = (
    "The third message with a key is a new one: a duplicate removes its key, or changes what's stored for it. If the "
    "key is known, return its id and change nothing."
)
ID_CHANGED = (
    "A duplicate changes the id that's stored for its key, so the next ack has another id. Store the id once, when the "
    "key is new."
)
IN_PROCESS = (
    "A process remembers the keys or acks that it has handled, and forgets none. Look up each key in Redis, and keep "
    "no copy in the process."
)
SHARED_WINDOW = (
    "The keys of one room push out those of another one, because all rooms share one set. Store the keys of each room "
    "in its own."
)
SEPARATORS = (":", "|", "/", " ", "-", ",", ", ", "\n", "\0", "_", ".", "#", "\x1f", '","', '", "', "::", "")
"""Strings that a sender and a key may be joined with."""


@dataclass
class _Talk:
    """The messages of a room, in order."""

    messages: list[dict[str, Any]] = field(default_factory=list)

    @property
    def last(self) -> int:
        """The last id."""
        return len(self.messages)

    def sends(self, name: str, text: str) -> None:
        """Note a message that's new."""
        self.messages.append(message(self.last + 1, name, text))


def _quoted(text: str) -> str:
    return f'"{cut(text)}"'


def _causes(likely: str) -> Causes:
    return Causes(missing=likely, gap=likely, twice=likely, order=likely, number=likely)


async def _sizes(cluster: Cluster, room: str) -> list[int]:
    """Return how many keys the sorted sets of a room have, the largest one first."""
    async with Redis.from_url(cluster.redis.url, decode_responses=True) as redis:
        names = [each async for each in redis.scan_iter(_type="zset", count=1000) if _is_of(room, each)]
        return sorted([await redis.zcard(each) for each in names], reverse=True)


async def _keeps_keys(cluster: Cluster, room: str) -> bool:
    """Return whether Redis has the idempotency keys of a room, besides its last id and its messages."""
    kinds = [kind for key, kind in (await keys_in(cluster)).items() if _is_of(room, key)]
    return bool({"zset", "hash", "set", "list"} & set(kinds)) or kinds.count("string") > 1


def _is_of(room: str, key: str) -> bool:
    return bool(re.search(re.escape(room) + r"(?!\d)", key))


KNOWN = Causes(missing=NOT_KNOWN, gap=ID_LOST, twice=SENT_AGAIN, order=KEYS, number=ID_LOST)


class Keys:
    @check(4, "deduplicates by key across all processes")
    @explained
    async def test_key(self, subject: Subject) -> None:
        await self.deduplicates(await separate_cluster(subject), thorough=True)

    async def deduplicates(self, cluster: Cluster, *, thorough: bool = False) -> None:
        """Check that all servers of a cluster know the keys that were sent to one of them.

        Args:
            cluster: the servers.
            thorough: whether to send keys of all kinds, as members with names of all kinds.

        Raises:
            Failure: a server doesn't know a key, or a message with another key is left out.
        """
        room = Members.room()
        async with contextlib.AsyncExitStack() as stack:
            adas = [await stack.enter_async_context(at(host, room, "Ada")) for host in cluster]
            grace = await stack.enter_async_context(at(cluster[2], room, "Grace"))
            talk = _Talk()
            talk.sends("Ada", "k")
            for _ in range(2):
                adas[0].acks.clear()
                await say(adas[0], "k", key="k")
                await self._has_id(adas[0], "k", 1, "Ada sent one key twice at one process", NOT_AT_ALL)
            after = "Ada sent one key at three processes, one after another"
            for ada in adas:
                ada.acks.pop("k", None)
                await say(ada, "k", key="k")
                try:
                    await self._has_id(ada, "k", 1, after, HASHED if ada is not adas[0] else FORGETS)
                except Failure as failure:
                    if "an ack" in failure.got:
                        await ada.settles(likely=KEYS)
                    if "an ack" in failure.got and sum(each["text"] == "k" for each in ada.messages) == 1:
                        failure.likely = ID_CHANGED
                    elif ada is not adas[0] and not await _keeps_keys(cluster, room):
                        failure.likely = IN_MEMORY
                    raise
            adas[1].acks.clear()
            await say(adas[1], "another text", key="k")
            await self._has_id(adas[1], "k", 1, "Ada sent her key again, with another text", NOT_KNOWN)
            after = "Ada sent one key at three processes at the same time, and then the next one"
            for number in range(8):
                key = f"at the same time {number}"
                talk.sends("Ada", key)
                await asyncio.gather(*(say(ada, key, key=key) for ada in adas))
                for ada in adas:
                    expect = f"an ack of {_quoted(key)}"
                    await ada.until(lambda ada=ada, key=key: key in ada.acks, expect=expect, likely=KEYS, after=after)
                likely = ID_LOST if len({ada.acks[key] for ada in adas}) == 1 else LOOKED_UP
                for ada in adas:
                    await self._has_id(ada, key, talk.last, after, likely)
            await say(grace, "k", key="k")
            talk.sends("Grace", "k")
            await self._has_id(grace, "k", talk.last, "Grace sent a key that Ada had used", OF_ANY_SENDER)
            elsewhere = await stack.enter_async_context(at(cluster[1], Members.room("elsewhere"), "Ada"))
            await say(elsewhere, "k", key="k")
            after = "Ada sent a key in another room which she had used in this one"
            await self._has_id(elsewhere, "k", 1, after, OF_ANY_ROOM)
            own = [message(1, "Ada", "k")]
            await receives(elsewhere, own, after=after, causes=_causes(OF_ANY_ROOM))
            if thorough:
                await self._all_keys(adas, talk)
            await self._all_senders(cluster, room, talk, thorough)
            for text in ("the same text", "the same text"):
                talk.sends("Ada", text)
                await say(adas[0], text)
            after = "Ada sent the same text twice without a key"
            await receives(grace, talk.messages, after=after, causes=_causes(WITHOUT_KEY))
            for number in range(100):
                talk.sends("Grace", f"text {number}")
                await say(grace, f"text {number}", key=f"g{number}")
            after = "Grace sent 100 messages with a key each"
            await receives(grace, talk.messages, after=after, causes=KNOWN)
            del adas[1].acks["k"]
            await say(adas[1], "k", key="k")
            after = "Ada sent her first key again, when its message wasn't in the stream any longer"
            await adas[1].until(lambda: "k" in adas[1].acks, expect="an ack", likely=NOT_ITS_ID, after=after)
            forgotten = adas[1].acks["k"] > talk.last
            likely = NOT_ITS_ID
            if forgotten and (sizes := await _sizes(cluster, room)):
                # All have a key, except for the two with the same text.
                likely = WITH_MESSAGE if sizes[0] >= talk.last - 2 else FEW.format(sizes[0])
            elif forgotten:
                likely = FORGOTTEN
            await self._has_id(adas[1], "k", 1, after, likely)
            del adas[1].acks["k"]
            await say(adas[1], "k", key="k")
            await self._has_id(adas[1], "k", 1, f"{after}; and then once more", ID_CHANGED)
            talk.sends("Ada", "last")
            await say(adas[1], "last")
            for log in (grace, *adas):
                await receives(log, talk.messages, after="many messages, some of them with a known key", causes=KNOWN)

    async def _all_keys(self, adas: list[MemberLog], talk: "_Talk") -> None:
        """Send keys of many kinds, each of them at two processes."""
        keys = {kind: text for kind, text in pool.texts(long=False).items() if 1 <= len(text) <= 64}
        near = [each for each in pool.neighbors(" Cafe\u0301 \ufb01+%41<i>&amp;*?") if each.strip()]
        some = [*keys.values(), *near, "7", "07", "7.0", "1e3", "1000", "0", "false", "K", "k ", "x" * 64, "x" * 63]
        new = [key for key in dict.fromkeys(some) if key not in adas[0].acks]
        for key in new:
            talk.sends("Ada", f"with the key {key}")
            await say(adas[0], f"with the key {key}", key=key)
        await self._have_ids(adas[0], new, talk, "Ada sent the key {}, and others that are similar", KEY_CHANGED)
        for key in new:
            await say(adas[1], f"with the key {key}", key=key)
        after = "Ada sent the key {} at one process and then at another one"
        await self._have_ids(adas[1], new, talk, after, NOT_KNOWN)

    async def _all_senders(self, cluster: Cluster, room: str, talk: "_Talk", thorough: bool) -> None:
        """Send one key as members with many kinds of names, and pairs that equal another pair when they're joined."""
        joined = [f"x{each}x" for each in (SEPARATORS if thorough else (":", ""))]
        async with at(cluster[0], room, "x") as log:
            for key in joined:
                talk.sends("x", f"with the key {key}")
                await say(log, f"with the key {key}", key=key)
            await self._have_ids(log, joined, talk, 'the member "x" sent the key {}', KEY_CHANGED)
        for name in joined:
            talk.sends(name, "with the key x")
            async with at(cluster[0], room, name) as log:
                await say(log, "with the key x", key="x")
                after = f"the member {_quoted(name)} sent the key x, when the member x had sent the key {_quoted(name)}"
                await self._has_id(log, "x", talk.last, after, JOINED)
        senders = [*pool.names().values(), *pool.neighbors("Ada")[:4]] if thorough else []
        for name in dict.fromkeys(senders):
            talk.sends(name, "with the key k")
            async with at(cluster[0], room, name) as log:
                await say(log, "with the key k", key="k")
                after = f"the member {_quoted(name)} sent the key k, which Ada and others had sent"
                await self._has_id(log, "k", talk.last, after, OF_ANY_SENDER)

    async def _have_ids(self, log: MemberLog, keys: list[str], talk: "_Talk", after: str, likely: str) -> None:
        first = talk.last - len(keys)
        for number, key in enumerate(keys, 1):
            what = after.format(_quoted(key))
            expect = f"an ack of {_quoted(key)}"
            await log.until(lambda key=key: key in log.acks, expect=expect, likely=likely, after=what)
            known = likely == NOT_KNOWN and log.acks[key] <= talk.last
            try:
                await self._has_id(log, key, first + number, what, NOT_ITS_ID if known else likely)
            except Failure as failure:
                place = log.acks.get(key, 0) - first - 1
                if likely == KEY_CHANGED and 0 <= place < number - 1:
                    failure.got += f", which belongs to the key {_quoted(keys[place])}"
                    with contextlib.suppress(ValueError):
                        failure.likely = NUMBERS if float(keys[place]) == float(key) else likely
                raise

    @staticmethod
    async def _has_id(log: MemberLog, key: str, number: int, after: str, likely: str) -> None:
        expect = f"an ack of {_quoted(key)} with the id {number}"
        await log.until(lambda: key in log.acks, expect=expect, likely=likely, after=after)
        if log.acks[key] != number:
            raise Failure(after=after, got=f"an ack with the id {log.acks[key]}", expect=expect, likely=likely)

    @check(4, "knows the last 1000 keys of a room, and no older ones")
    @explained
    async def test_window(self, subject: Subject) -> None:
        cluster = await shared_cluster(subject)
        room, quiet = pool.unique("lobby"), Members.room("quiet")
        async with (
            at(cluster[0], room, "Ada") as ada,
            at(cluster[1], room, "Grace") as grace,
            at(cluster[0], quiet, "Zoe") as zoe,
        ):
            await say(zoe, "quiet", key="k1")
            await self._has_id(zoe, "k1", 1, "Zoe sent a key", KEYS)
            # The ids of messages without a key aren't keys.
            await say(ada, *(f"without a key {number}" for number in range(5)))
            for number in range(1, WINDOW + 1):
                await say(ada, f"text {number}", key=f"k{number}")
            after = f"Ada sent 5 messages without a key and {WINDOW} with a key each"
            expect = f"acks of {WINDOW} keys"
            await ada.until(lambda: len(ada.acks) == WINDOW, expect=expect, likely=KEYS, after=after, seconds=8)
            async with at(cluster[1], room, "Ada") as second:
                await say(ada, *(f"without a key {number}" for number in range(5, 10)))
                await ada.settles(likely=KEYS)
                await say(second, "text 1", key="k1")
                after += ", 5 more without a key, and then the first key again, at another process"
                likely = FORGOTTEN if ada.acks["k1"] == 6 else KEYS
                await second.until(lambda: "k1" in second.acks, expect="an ack", likely=KEYS, after=after)
                if second.acks["k1"] != 6 and likely == FORGOTTEN and (sizes := await _sizes(cluster, room)):
                    few = FEW.format(sizes[0]) if sizes[0] < WINDOW - 1 else FORGOTTEN
                    likely = ONE_LESS if sizes[0] == WINDOW - 1 else few
                await self._has_id(second, "k1", 6, after, likely)
            await say(zoe, "quiet", key="k1")
            zoe.acks.clear()
            await self._has_id(zoe, "k1", 1, f"{after}; and Zoe sent her key again in her room", SHARED_WINDOW)
            await say(grace, "one more", key="one more")
            await say(grace, "and one", key="and one")
            after = f"Ada sent {WINDOW} keys, Grace two more, and Ada"
            await grace.until(lambda: "and one" in grace.acks, expect="two acks", likely=KEYS, after=after)
            async with at(cluster[2], room, "Ada") as third:
                await say(third, "text 5", key="k5")
                try:
                    await self._has_id(third, "k5", 10, f"{after} her fifth one again", FORGOTTEN)
                except Failure as failure:
                    if "k5" in third.acks and WINDOW - 20 < max(await _sizes(cluster, room), default=0) < WINDOW - 1:
                        failure.likely = BY_ID
                    raise
                last = grace.acks["and one"]
                await say(third, "text 2", key="k2")
                try:
                    await self._has_id(third, "k2", last + 1, f"{after} her second one again", OLD_ONES)
                except Failure as failure:
                    if "k2" in third.acks and (sizes := await _sizes(cluster, room)):
                        more = ONE_MORE if sizes[0] == WINDOW + 1 else NEVER_REMOVED.format(sizes[0])
                        failure.likely = more if sizes[0] > WINDOW else FOR_EACH_SENDER if sizes[1:] else OLD_ONES
                    raise
                # At the process that acknowledged it first.
                del ada.acks["k3"]
                await say(ada, "text 3", key="k3")
                after += " her third one again, at the process that had acknowledged it"
                await self._has_id(ada, "k3", last + 2, after, IN_PROCESS)
        await has_no_time_limit(cluster, room, "string", "zset", "hash", "set", "list")

    @check(4, "does what step 08 does without Redis")
    @explained
    async def test_memory(self, subject: Subject) -> None:
        room = Members.room()
        likely = (
            "Without a Redis, the server must still work, and use its journal: BROKER is memory:// by default. Keep "
            "memory.py, and the choice of the broker in main.py, as they are."
        )
        with tempfile.TemporaryDirectory() as folder:
            journal = str(Path(folder) / "journal")
            async with subject.another(JOURNAL=journal) as before:
                async with at(before, room, "Ada", likely=likely) as ada, at(before, room, "Grace") as grace:
                    for number in range(1, 4):
                        await say(ada, f"text {number}", key=f"k{number}")
                    for log in (ada, grace):
                        await said(log, 3, after="Ada sent three messages, without BROKER", likely=likely)
                    await Members(before).remove(room, "Grace", likely=likely)
                    await grace.tab.is_closed(1008, "removed", likely=likely, besides=anything)
                    await asyncio.to_thread(before.server.kill)
            async with subject.another(JOURNAL=journal, BROKER="memory://") as again:
                async with at(again, room, "Ada", likely=likely, after=1) as ada:
                    await say(ada, "text 3", key="k3")
                    await say(ada, "text 4", key="k4")
                    after = "three messages, then kill -9, a start on the same JOURNAL, and Ada with after=1"
                    await ada.until(
                        lambda: len(ada.messages) >= 3, expect="messages 2 to 4", likely=likely, after=after
                    )
                    await ada.until(lambda: "k4" in ada.acks, expect="an ack", likely=likely, after=after)
                    if ada.ids != [2, 3, 4] or ada.acks != {"k3": 3, "k4": 4}:
                        raise Failure(after=after, got=str(ada), expect="messages 2 to 4", likely=likely)
