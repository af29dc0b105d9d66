"""Step 11, TODO 1: the guarantees of step 10, which an answer to step 11 must keep."""

from judge.cluster import shared_cluster
from judge.model import check
from judge.subject import Subject

from ..scale_out.broadcast import Broadcast
from ..scale_out.history import History
from ..scale_out.keys import Keys


class StepTen:
    @check(1, "delivers a message at every process, once, in one order")
    async def test_order(self, subject: Subject) -> None:
        await Broadcast().test_everybody(subject)

    @check(1, "replays the history at every process")
    async def test_history(self, subject: Subject) -> None:
        await History().test_elsewhere(subject)

    @check(1, "deduplicates by key across all processes")
    async def test_keys(self, subject: Subject) -> None:
        # Not with a new Python process, as in step 10, because its start takes as long as all other checks of TODO 1.
        await Keys().deduplicates(await shared_cluster(subject))
