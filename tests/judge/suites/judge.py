"""Judge a test suite: run its checks in order until one fails."""

import asyncio
import importlib
import random
import shutil
import tempfile
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

from workshop.course import Step
from workshop.suites import CACHES

from ..judge import SEEDS
from ..misplaced import misplaced
from ..model import Check, Explanation, Failure, HardCases, Verdict, checks_of
from ..tasks import spawn, stop
from .bench import Bench
from .kept import load, store
from .turns import RANK

ALONE = 2
"""The number of checks that run before the others begin: they decide whether anything works."""


class SuiteJudge:
    """A judge of one suite.

    Args:
        step: the step that the suite belongs to.
        folder: the folder above the package `exercise`.
        through: names of checks; those after the last of them don't run. By default, all run.
        seed: the seed of the order of the tests; by default, a random one.
        on_progress: called with an incomplete verdict whenever a check has passed, or has got further.
    """

    def __init__(
        self,
        step: Step,
        folder: Path,
        *,
        through: Collection[str] = (),
        seed: int | None = None,
        on_progress: Callable[[Verdict], object] = lambda verdict: None,
    ) -> None:
        self.step = step
        self.folder = folder
        self.seed = random.randrange(SEEDS) if seed is None else seed
        self._through = through
        self._on_progress = on_progress
        self._shown = Verdict(step.name, [])
        self._doing: dict[int, str] = {}

    def run(self) -> Verdict:
        """Run the checks of the step and return the verdict. All processes have ended by then."""
        return asyncio.run(self.judge())

    async def judge(self) -> Verdict:
        """Do the same in a running event loop. The task may be canceled."""
        with tempfile.TemporaryDirectory() as folder:
            # Copy: a save during the runs must not change what their results are kept for.
            shutil.copytree(self.folder / "exercise", Path(folder) / "exercise", ignore=shutil.ignore_patterns(*CACHES))
            # Only your own suite's results are stored on disk.
            if self.folder != self.step.folder:
                return await self._judge(Path(folder))
            load()
            try:
                return await self._judge(Path(folder))
            finally:
                store()

    async def _judge(self, folder: Path) -> Verdict:
        suite = importlib.import_module(f"checks.test_{self.step.name}").TestExercise
        checks = checks_of(suite)
        last = max((place for place, check in enumerate(checks) if check.name in self._through), default=len(checks))
        required = [check for check in checks[: last + 1] if not check.hard]
        hard = [check for check in checks[: last + 1] if check.hard]
        bench = Bench(self.step, folder, self.seed, self._progress)
        first, later = required[:ALONE], required[ALONE:]
        for check in first:
            self._show(required, required.index(check))
            if explanation := await self._run(check, bench):
                return Verdict(self.step.name, required, check, explanation)
        # The runs of the checks wait for their turns in the order of the checks, so no core is idle.
        running = {}
        for check in later:
            RANK.set(required.index(check))
            running[check] = spawn(self._run(check, bench))
        try:
            for check, task in running.items():
                self._show(required, required.index(check))
                if explanation := await task:
                    return Verdict(self.step.name, required, check, explanation)
        finally:
            await stop(*running.values())
        verdict = Verdict(self.step.name, required)
        if not hard:
            return verdict
        self._on_progress(replace(verdict, hard=HardCases(hard)))
        failed = {check.name: explanation for check in hard if (explanation := await self._run(check, bench))}
        return replace(verdict, hard=HardCases(hard, failed))

    async def _run(self, check: Check, bench: Bench) -> Explanation:
        """Run a check, and return its explanation; empty if it passes."""
        try:
            await check.run(bench)
        except Failure as failure:
            return self._explain(check, failure)
        return []

    def _explain(self, check: Check, failure: Failure) -> Explanation:
        again = f"pytest --exercise {self.step.number} --seed {self.seed} runs the tests in the same order"
        lines = [
            ("I ran", failure.sent),
            ("I got", failure.got),
            ("I expect", failure.expect),
            ("Misplaced", misplaced(self.step, self.folder)),
            ("Likely", failure.likely),
            ("Test", getattr(failure, "test", "")),
            ("Printed", getattr(failure, "printed", "")),
            ("Hint", f"notebook {self.step.name[:2]}, Make, TODO {getattr(failure, 'todo', 0) or check.number}"),
            ("Seed", again if getattr(failure, "in_order", False) else ""),
        ]
        return [(label, text) for label, text in lines if text]

    def _show(self, checks: list[Check], position: int) -> None:
        self._shown = Verdict(self.step.name, checks, reached=position)
        number = checks[position].number
        self._on_progress(replace(self._shown, doing=self._doing.get(number, "")))

    def _progress(self, point: int, words: str) -> None:
        """Store the progress of a TODO's check, and show it if that check is the next one to be decided."""
        self._doing[point] = words
        if self._shown.checks[self._shown.reached or 0].number == point:
            self._on_progress(replace(self._shown, doing=words))
