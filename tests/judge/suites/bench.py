"""Runs of one suite, and their results, which are kept by the content of suite and server."""

import asyncio
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from workshop.course import Step
from workshop.suites import Outcome, Plan, Run, run_suite, unit_of

from .servers import TestServer, servers_of
from .turns import Turns
from .units import Contents, contents_of

AT_A_TIME = os.cpu_count() or 1
"""The largest number of runs at a time."""
MOST_KEPT = 20_000
"""The largest number of results of test functions to keep."""
DEADLINE_FROM = 0.8
"""Seconds. A test that failed after this long has probably waited for a deadline."""
Key = tuple[str, str, str]


@dataclass(frozen=True)
class Result:
    """The result of one test function on one server."""

    passed: bool
    failure: Outcome | None = None
    """The first phase that failed."""

    @property
    def finds(self) -> bool:
        """Whether it failed in its call, which is a find on a broken server."""
        return self.failure is not None and self.failure.phase == "call"

    @property
    def by_deadline(self) -> bool:
        """Whether it failed because of a deadline, as far as that can be seen."""
        failure = self.failure
        return failure is not None and ("Timeout" in failure.error[:200] or failure.seconds >= DEADLINE_FROM)


_results: OrderedDict[Key, Result] = OrderedDict()
_situations: OrderedDict[Key, Run] = OrderedDict()


def results_of(run: Run) -> dict[str, Result]:
    """Return the results of the test functions whose tests have all ended in a run."""
    found: dict[str, Result] = {}
    for each in run.ends:
        unit = unit_of(each.test)
        if each.outcome == "failed":
            if unit not in found or found[unit].passed:
                found[unit] = Result(False, each)
        elif each.phase == "teardown" and unit not in found:
            found[unit] = Result(True)
    # A function with parameters may have tests that didn't run.
    if (cut := unit_of(run.running)) in found and found[cut].passed:
        del found[cut]
    return found


class Bench:
    """The runs of one suite.

    Args:
        step: the step of the suite.
        folder: the folder above its package.
        seed: the seed of the order of the tests.
        on_progress: called with the number of a TODO and a few words, whenever another of its runs has ended.
    """

    def __init__(self, step: Step, folder: Path, seed: int, on_progress: Callable[[int, str], object]) -> None:
        self.step = step
        self.folder = folder
        self.seed = seed
        self.contents: Contents = contents_of(folder)
        self.units: list[str] = []
        """The ids of the suite's test functions, from its first run."""
        self._on_progress = on_progress
        self._turns = Turns(AT_A_TIME)
        self._locks: dict[Key, asyncio.Lock] = {}
        self._judged: dict[int, asyncio.Event] = {}

    def servers(self, kind: str, point: int = 0) -> list[TestServer]:
        """Return the servers of a kind, `right`, `broken` or `beyond`, and of a TODO unless that's 0."""
        return [each for each in servers_of(self.step) if each.kind == kind and (not point or each.point == point)]

    def server(self, name: str) -> TestServer:
        """Return the server of this name."""
        return next(each for each in servers_of(self.step) if each.name == name)

    async def run(
        self, server: TestServer, plan: Plan, on_report: Callable[..., object] = lambda run, report: None
    ) -> Run:
        """Run the suite on a server, as soon as a core is free.

        Args:
            server: the server.
            plan: the way to run it; the server and its environment are added.
            on_report: see `run_suite`.
        """
        plan = replace(plan, server=server.code, environment={**server.environment, **plan.environment})
        async with self._turns.one():
            return await run_suite(self.folder, plan, on_report)

    async def run_alone(self, server: TestServer, plan: Plan) -> Run:
        """Run the suite on a server while no other run of it goes on."""
        plan = replace(plan, server=server.code, environment={**server.environment, **plan.environment})
        async with self._turns.all():
            return await run_suite(self.folder, plan)

    async def once(
        self,
        name: str,
        server: TestServer,
        plan: Plan,
        on_report: Callable[..., object] = lambda run, report: None,
        *,
        whole: bool = False,
    ) -> Run:
        """Run the suite in a situation, or return the earlier run of the same code.

        Args:
            name: the name of the situation.
            server: the server.
            plan: the way to run it.
            on_report: see `run_suite`.
            whole: whether the run depends on the test functions too, not only on the code around them.
        """
        key = (name, server.code, self.contents.whole if whole else self.contents.shared)
        # Two checks may ask for the same run at the same time.
        async with self._locks.setdefault(key, asyncio.Lock()):
            if key not in _situations:
                _keep(_situations, key, await self.run(server, plan, on_report))
            return _situations[key]

    def known(self, server: TestServer) -> dict[str, Result]:
        """Return the known results of all test functions on a server."""
        found = {unit: _results.get(self._key(server, unit)) for unit in self.units}
        return {unit: result for unit, result in found.items() if result}

    def forget(self, server: TestServer, units: Iterable[str]) -> None:
        """Forget the results of these functions on a server, so that they run again."""
        for unit in units:
            _results.pop(self._key(server, unit), None)

    def remember(self, server: TestServer, run: Run) -> None:
        """Keep the results of a run."""
        for unit, result in results_of(run).items():
            _keep(_results, self._key(server, unit), result)

    def judged(self, point: int) -> None:
        """Note that all broken servers of a TODO have had their runs."""
        self._judged.setdefault(point, asyncio.Event()).set()

    async def is_judged(self, point: int) -> None:
        """Wait until all broken servers of a TODO have had their runs."""
        await self._judged.setdefault(point, asyncio.Event()).wait()

    def progress(self, point: int, words: str) -> None:
        """Report how far the check of a TODO is."""
        self._on_progress(point, words)

    def _key(self, server: TestServer, unit: str) -> Key:
        return (unit, server.code + repr(server.environment), self.contents.key(unit))


def _keep(kept: OrderedDict, key: Key, value: object) -> None:
    kept[key] = value
    if len(kept) > MOST_KEPT:
        kept.popitem(last=False)
