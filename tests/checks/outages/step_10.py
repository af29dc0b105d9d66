"""Step 11, TODO 1: the guarantees of step 10, which an answer to step 11 must keep."""

from judge.cluster import shared_cluster
from judge.model import check
from judge.subject import Subject

from ..scale_out.broadcast import Broadcast
from ..scale_out.every_process import UNJUDGED
from ..scale_out.history import History
from ..scale_out.keys import Keys


class StepTen:
    @check(1, "delivers a message at every process, once, in one order")
    async def test_order(self, subject: Subject) -> None:
        await Broadcast().test_everybody(subject)

    @check(1, "delivers a burst, and disconnects no member that reads")
    async def test_burst(self, subject: Subject) -> None:
        await Broadcast().test_burst(subject)

    @check(1, "has one subscription for each process" + UNJUDGED)
    async def test_one_subscriber(self, subject: Subject) -> None:
        await Broadcast().test_one_subscriber(subject)

    @check(1, "replays the history at every process")
    async def test_history(self, subject: Subject) -> None:
        await History().test_elsewhere(subject)

    @check(1, "keeps the last 100 messages in a stream, and sends a gap for earlier ones")
    async def test_trimmed(self, subject: Subject) -> None:
        await History().test_trimmed(subject)

    @check(1, "loses and duplicates nothing for a member that joins under load")
    async def test_under_load(self, subject: Subject) -> None:
        await History().test_under_load(subject)

    @check(1, "deduplicates by key across all processes")
    async def test_keys(self, subject: Subject) -> None:
        # Not with a new Python process, as in step 10, because its start takes as long as all other checks of TODO 1.
        await Keys().deduplicates(await shared_cluster(subject))

    @check(1, "does what step 08 does without Redis")
    async def test_memory(self, subject: Subject) -> None:
        await Keys().test_memory(subject)
