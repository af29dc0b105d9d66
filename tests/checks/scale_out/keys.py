"""Step 10, TODO 4: idempotency keys across all processes, and the broker without Redis."""

import asyncio
import contextlib
import tempfile
from pathlib import Path

from judge.clients import anything
from judge.cluster import Cluster, MemberLog, at, say, separate_cluster, shared_cluster, shortened
from judge.members import Members
from judge.model import Failure, check
from judge.subject import Subject

from .every_process import APART, KEYS, said

HASHED = f"{KEYS}; and hash() gives another number for the same string in each process"

WINDOW = 1000
"""The number of keys of a room that a server knows."""
FORGOTTEN = (
    "Your server has forgotten one of the last 1000 keys of the room. Keep DEDUP_WINDOW keys, and remove the oldest "
    "ones first, those with the smallest ids: ZREMRANGEBYRANK with 0 and -1 - DEDUP_WINDOW."
)


class Keys:
    @check(4, "deduplicates by key across all processes")
    async def test_key(self, subject: Subject) -> None:
        await self.deduplicates(await separate_cluster(subject))

    async def deduplicates(self, cluster: Cluster) -> None:
        """Check that all servers of a cluster know the keys that were sent to one of them.

        Raises:
            Failure: a server doesn't know a key, or a message with another key is left out.
        """
        room = Members.room()
        async with contextlib.AsyncExitStack() as stack:
            adas = [await stack.enter_async_context(at(host, room, "Ada")) for host in cluster]
            grace = await stack.enter_async_context(at(cluster[2], room, "Grace"))
            after = "Ada sent one key at three processes, one after another"
            for ada in adas:
                await say(ada, "k", key="k")
                await self._acknowledged(ada, "k", after)
            self._has_one_id(adas, "k", after, HASHED)
            after = "Ada sent one key at three processes, all at once, and then the next"
            for number in range(20):
                key = f"all at once {number}"
                for ada in adas:
                    await say(ada, key, key=key)
                for ada in adas:
                    await self._acknowledged(ada, key, after)
                self._has_one_id(adas, key, after)
            await say(grace, "mine", key="k")
            await self._acknowledged(grace, "k", "Grace sent a key that Ada had used")
            elsewhere = await stack.enter_async_context(at(cluster[1], Members.room("elsewhere"), "Ada"))
            await say(elsewhere, "k", key="k")
            after = "Ada sent a key in another room which she had used in this one"
            await self._acknowledged(elsewhere, "k", after)
            await said(elsewhere, 1, after=after, likely=APART)
            # Use names and keys that equal another pair when they're joined, with or without a colon.
            for name, key in (("Ad", "ak"), ("Ada:k", "k"), ("Ada", "k:k")):
                async with at(cluster[0], room, name) as another:
                    await say(another, f"{name}, {key}", key=key)
                    await self._acknowledged(another, key, f"{name} sent the key {key}")
            for number in range(150):
                await say(grace, f"text {number}", key=f"g{number}")
            await self._acknowledged(grace, "g149", "Grace sent 150 messages with keys")
            await say(adas[1], "k", key="k")
            del adas[1].acks["k"]
            await self._acknowledged(adas[1], "k", "Ada sent her first key again, 173 keys later")
            for log in (grace, *adas):
                after = "175 messages of different senders or with different keys were sent, and some of them again"
                await log.settles(likely=KEYS)
                await said(log, 175, after=after, likely=KEYS)

    @staticmethod
    def _has_one_id(logs: list[MemberLog], key: str, after: str, likely: str = KEYS) -> None:
        ids = [log.acks[key] for log in logs]
        if len(set(ids)) > 1:
            raise Failure(after=after, got=f"the ids {shortened(ids)}", expect="one id", likely=likely)

    @staticmethod
    async def _acknowledged(log: MemberLog, key: str, after: str) -> None:
        await log.until(lambda: key in log.acks, expect=f"an ack of {key}", likely=KEYS, after=after)

    @check(4, "keeps the last 1000 keys of a room")
    async def test_window(self, subject: Subject) -> None:
        cluster = await shared_cluster(subject)
        room = Members.room()
        async with at(cluster[0], room, "Ada") as ada:
            for number in range(1, WINDOW + 1):
                await say(ada, f"text {number}", key=f"k{number}")
            after = f"Ada sent {WINDOW} messages with a key each"
            await ada.until(
                lambda: len(ada.acks) == WINDOW, expect=f"{WINDOW} acks", likely=KEYS, after=after, seconds=8
            )
            async with at(cluster[1], room, "Ada") as again:
                await say(again, "text 1", key="k1")
                after += ", and then the first one again, at another process"
                await again.until(
                    lambda: again.acks, expect="the ack of k1, with the id 1", likely=FORGOTTEN, after=after
                )
                if again.acks != {"k1": 1}:
                    got, expect = f"an ack with the id {again.acks.get('k1')}", "the ack of k1, with the id 1"
                    raise Failure(after=after, got=got, expect=expect, likely=FORGOTTEN)

    @check(4, "does what step 08 does without Redis")
    async def test_memory(self, subject: Subject) -> None:
        room = Members.room()
        likely = "memory:// is the default, and does what step 08 did"
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
