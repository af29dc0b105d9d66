"""Runs of one suite, and their results, which are kept by the content of suite and server."""

import asyncio
import hashlib
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from workshop.course import Step
from workshop.suites import Plan, Run, run_suite, unit_of

from .kept import KEPT, Key, Result
from .servers import TestServer, servers_of
from .turns import Turns
from .units import Contents, contents_of

AT_A_TIME = os.cpu_count() or 1
"""The largest number of runs at a time."""
RIGHT_WITHIN = 40.0
"""Seconds for a run on a right server."""
WHOLE_WITHIN = 60.0
"""Seconds for a whole run on any server."""


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


def ports_of(run: Run) -> set[str]:
    """Return the ports of a run's servers that they've got as an argument, so the system hasn't chosen them."""
    found = re.findall(r"--port[ =](\d+)", "\n".join(" ".join(command) for command in run.starts))
    return {port for port in found if port != "0"}


def failed_by_chance(run: Run) -> bool:
    """Return whether chance may be why a run failed, as far as that can be seen.

    Each failure, or the run's own limit, may be a missed deadline. Or the suite has chosen a free port, and passed it
    to its server: until the server binds it, any other program on the machine may get it.
    """
    if run.timed_out or (run.failures and ports_of(run)):
        return True
    return bool(run.failures) and all(Result(False, each).by_deadline for each in run.failures)


def content_of(server: TestServer) -> str:
    """Return a hash of a server's code and environment."""
    return hashlib.sha256(f"{server.code}{server.environment}".encode()).hexdigest()


def ignore(run: Run, report: dict[str, Any]) -> None:
    """Ignore a report of a run."""


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
        self.fresh: set[str] = set()
        """The ids of the test functions that have run on a broken server."""
        self.in_order: dict[tuple[str, bool], Run] = {}
        """The passed runs in random order, or in its reverse, that a check before TODO 4 has made, by server."""
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

    async def run(self, server: TestServer, plan: Plan, on_report: Callable[..., object] = ignore) -> Run:
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
        on_report: Callable[..., object] = ignore,
        *,
        whole: bool = False,
        passes: bool = True,
    ) -> Run:
        """Run the suite in a situation, or return the earlier run of the same code.

        Args:
            name: the name of the situation.
            server: the server.
            plan: the way to run it.
            on_report: see `run_suite`.
            whole: whether the run depends on the test functions too, not only on the code around them.
            passes: whether a right suite passes. Then a run that fails isn't kept, because chance may be the cause.
        """
        key = (name, content_of(server), self.contents.whole if whole else self.contents.shared)
        # Two checks may ask for the same run at the same time.
        async with self._locks.setdefault(key, asyncio.Lock()):
            if key in KEPT.situations:
                return KEPT.situations[key]
            run = await self.run(server, plan, on_report)
            if failed_by_chance(run) if passes else run.timed_out and on_report is ignore:
                # Only a second failure, alone, counts.
                run = await self.run_alone(server, plan)
            if run.passed or not passes:
                KEPT.keep_situation(key, run)
            if run.passed and plan.seed is not None:
                self.in_order[server.name, plan.reverse] = run
            return run

    def known(self, server: TestServer) -> dict[str, Result]:
        """Return the known results of all test functions on a server."""
        found = {unit: KEPT.results.get(self._key(server, unit)) for unit in self.units}
        return {unit: result for unit, result in found.items() if result}

    def forget(self, server: TestServer, units: Iterable[str]) -> None:
        """Forget the results of these functions on a server, so that they run again."""
        for unit in units:
            KEPT.results.pop(self._key(server, unit), None)

    async def complete(self, server: TestServer, units: list[str], seconds: float = WHOLE_WITHIN) -> Run | None:
        """Run those of these functions whose results on a broken server aren't known.

        Args:
            server: the server.
            units: the ids of test functions.
            seconds: the limit of the run, in seconds.

        Returns:
            The run, or None if all results are known.
        """
        known = self.known(server)
        missing = [unit for unit in units if unit not in known]
        if not missing:
            return None
        self.fresh.update(missing)
        run = await self.run(server, Plan("", units=missing, seconds=seconds))
        self.remember(server, run)
        return run

    def remember(self, server: TestServer, run: Run) -> None:
        """Keep the results of a run, unless it has left something: then it's refused, the next time too."""
        if run.left or run.files:
            return
        for unit, result in results_of(run).items():
            KEPT.keep_result(self._key(server, unit), result)

    def lock(self, server: TestServer) -> asyncio.Lock:
        """Return the lock of a server, for two checks that need the same runs on it."""
        return self._locks.setdefault(("results", server.name, ""), asyncio.Lock())

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
        return (unit, content_of(server), self.contents.key(unit))
