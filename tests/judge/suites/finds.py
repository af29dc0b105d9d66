"""The checks of TODO 4 to 9: a suite passes on every right server, and finds every broken one."""

import asyncio
import itertools
from typing import Any

from workshop.suites import Plan, Run

from ..slowness import slowness
from ..tasks import spawn, stop
from .bench import AT_A_TIME, RIGHT_WITHIN, WHOLE_WITHIN, Bench, failed_by_chance, results_of
from .failures import SuiteFailure, describe, end_of, first_failure, names, nothing_left, place_of, short
from .kept import Result
from .servers import TestServer

FIRST_WITHIN = 15.0
"""Seconds until the first test has failed on a broken server that's silent."""
HANGS_AFTER = 30.0
"""Seconds without the end of a test after which a run hangs, on a busy machine too."""
LEAST_TESTS = 6
SILENCE = 7
"""The number of the TODO whose servers don't answer."""
ORDER = (
    "A test needs another one to run before it, or disturbs a later one. Each test must connect its own members, to a "
    "room that no other test uses."
)
UNSTABLE = (
    "A test depends on time or chance: it fails on the given server now and then. Give each wait a deadline of 2 s, "
    "and ask again until something that may take time has happened."
)
IN_SETUP = (
    "Only a failure in the call of a test is a find, because one in a fixture doesn't name what is broken. In "
    "fixtures, only start the server, and wait until it listens. Connect, and ask for GET /rooms, in the tests."
)
EXPECT_RIGHT = "every test passes, because this server keeps all promises S1 to S9"


async def holds_on_right_servers(bench: Bench) -> None:
    """Check that every test passes on every right server, in a random order and in its reverse."""
    servers = bench.servers("right")
    done = itertools.count(1)

    async def judge(server: TestServer) -> tuple[TestServer, Run] | None:
        failed = await _run_right(bench, server)
        bench.progress(4, f"right servers: {next(done)} of {len(servers)}")
        return (server, failed) if failed else None

    failures = [failure for failure in await asyncio.gather(*map(judge, servers)) if failure]
    for server, run in failures:
        if failed_by_chance(run):
            # Only a second failure, alone, counts.
            bench.progress(4, f"once more, alone: {server.what}")
            again = await bench.run_alone(server, run.plan)
            if again.passed:
                bench.remember(server, again)
                continue
            run = again
        raise _right_failure(server, run)


async def _run_right(bench: Bench, server: TestServer) -> Run | None:
    """Return the first run on a right server that fails, or None."""
    async with bench.lock(server):
        return await _run_missing(bench, server)


async def _run_missing(bench: Bench, server: TestServer) -> Run | None:
    known = bench.known(server)
    missing = [unit for unit in bench.units if unit not in known or not known[unit].passed]
    if not missing:
        return None
    limit = RIGHT_WITHIN * slowness()
    runs: list[Run] = []
    # One test has no order.
    for reverse in (False, True)[: len(missing)]:
        run = bench.in_order.get((server.name, reverse))
        if run is None or not set(missing) <= run.called:
            plan = Plan("", units=missing, seed=bench.seed, reverse=reverse, seconds=limit)
            run = await bench.run(server, plan)
        if not run.passed:
            return run
        runs.append(run)
    for run in runs:
        bench.remember(server, run)
    return None


def _right_failure(server: TestServer, run: Run) -> SuiteFailure:
    order = f"in random order (seed {run.plan.seed}{', reversed' if run.plan.reverse else ''})"
    ran = f"your tests on a right server: {server.what}. They ran {order}"
    likely = server.label("Granted") or ORDER
    if run.failures and not run.timed_out:
        failed = run.failures[0]
        got, place = describe(failed), place_of(failed)
        return SuiteFailure(ran=ran, got=got, expect=EXPECT_RIGHT, likely=likely, test=place, in_order=True)
    return first_failure(run, ran, EXPECT_RIGHT, likely)


async def finds(bench: Bench, point: int) -> None:
    """Check that a test fails, in its call, on every broken server of a TODO.

    Args:
        bench: the runs of the suite.
        point: the number of the TODO.
    """
    # The longest runs first, so that they don't end alone.
    servers = sorted(bench.servers("broken", point), key=lambda server: -_waits(bench.known(server)))
    done = itertools.count(1)

    async def judge(server: TestServer) -> SuiteFailure | None:
        try:
            failure = await _find(bench, server)
        except SuiteFailure as left:
            failure = left
        bench.progress(point, f"broken servers: {next(done)} of {len(servers)}")
        return failure

    try:
        failures = [failure for failure in await asyncio.gather(*map(judge, servers)) if failure]
    finally:
        bench.judged(point)
    if failures:
        # A find or a miss counts only if the suite still passes on the given server.
        await _control(bench)
        raise failures[0]


async def _control(bench: Bench) -> None:
    """After runs on broken servers, run the same tests on the given one: they must still pass."""
    if not bench.fresh:
        return
    given = bench.server("right_given")
    plan = Plan("", units=sorted(bench.fresh), seconds=RIGHT_WITHIN)
    for last in (False, True):
        run = await (bench.run_alone if last else bench.run)(given, plan)
        if run.passed:
            return
        if last:
            raise first_failure(run, "your tests on the given server, once more", "every test passes", UNSTABLE)


async def _find(bench: Bench, server: TestServer) -> SuiteFailure | None:
    """Return why a broken server isn't found, or None. Another check may need a run on it at the same time."""
    async with bench.lock(server):
        return await _find_in_missing(bench, server)


async def _find_in_missing(bench: Bench, server: TestServer) -> SuiteFailure | None:
    known = bench.known(server)
    missing = [unit for unit in bench.units if unit not in known]
    found = [unit for unit, result in known.items() if result.finds]
    # One find is enough, unless the run must show that it ends. TODO 9 asks for more, where it needs them.
    if found and server.point != SILENCE:
        return None
    run = None
    if missing:
        bench.fresh.update(missing)
        plan = Plan("", units=missing, seconds=WHOLE_WITHIN)
        run = await bench.run(server, plan, _enough(server))
        if _too_slow(server, run) and not (run.timed_out and run.seconds_after_call > HANGS_AFTER):
            # A busy machine can be late: only a second time, alone, counts.
            run = await bench.run_alone(server, plan)
        bench.remember(server, run)
        if failure := _too_slow(server, run):
            return failure
        nothing_left(run, f"your tests on a broken server: {server.what}")
    known = bench.known(server)
    found = [unit for unit, result in known.items() if result.finds]
    if len(found) == 1 and run is not None and known[found[0]].by_deadline:
        # A busy machine can be late once. Two tests that miss their deadline confirm each other.
        bench.forget(server, found)
        again = await bench.run(server, Plan("", units=found, seconds=WHOLE_WITHIN))
        bench.remember(server, again)
        found = [unit for unit, result in bench.known(server).items() if result.finds]
    return None if found else _not_found(bench, server, run)


def _enough(server: TestServer) -> Any:
    """Return a function that ends a run on a server, if two finds are enough."""
    if server.runs_fully or server.point == SILENCE:
        return lambda run, report: None
    return lambda run, report: report["what"] == "end" and report["phase"] == "teardown" and len(run.found) > 1


def _too_slow(server: TestServer, run: Run) -> SuiteFailure | None:
    """Return why a run took too long, or None."""
    ran = f"your tests on a broken server: {server.what}"
    factor = slowness()
    if run.timed_out:
        where = f"; {short(run.running)} was still running" if run.running else ""
        if run.found:
            likely = (
                "Some of your waits have no deadline, or a long one: connect() waits 10 s for the handshake by "
                "default, and httpx 5 s. Set open_timeout, close_timeout and timeout to 2 s. If your tests run again "
                "when they fail, remove that."
            )
        else:
            likely = (
                "A wait has no deadline: the handshake, the next message, the close, or an HTTP request. Give each of "
                "them one of 2 s."
            )
        return SuiteFailure(
            ran=ran, got=f"no end within {run.plan.seconds:g} s{where}", expect=_silence_limits(), likely=likely
        )
    if server.point == SILENCE and run.first_find is not None and run.first_find > FIRST_WITHIN * factor:
        likely = "Your deadlines are too long. Each answer is promised within 1 s, so wait for 2 s."
        got = f"the first failure in a test's call after {run.first_find:.0f} s"
        if run.failures[0].phase != "call":
            likely, got = IN_SETUP, f"{got}. Before it, {describe(run.failures[0])}"
        return SuiteFailure(ran=ran, got=got, expect=_silence_limits(), likely=likely)
    return None


def _silence_limits() -> str:
    return f"a test fails within {FIRST_WITHIN:g} s, and the run ends within {WHOLE_WITHIN:g} s"


def _not_found(bench: Bench, server: TestServer, run: Run | None) -> SuiteFailure:
    ran = f"your tests on a broken server: {server.what}"
    expect = f"a test that fails, because this server breaks {server.label('Breaks')}"
    elsewhere = [result.failure for result in bench.known(server).values() if result.failure]
    if elsewhere:
        first = elsewhere[0]
        got = f"a failure only outside of a test's call: {describe(first)}"
        return SuiteFailure(ran=ran, got=got, expect=expect, likely=IN_SETUP, test=place_of(first))
    if run is not None and run.broken:
        return first_failure(run, ran, expect)
    count = len(bench.units)
    got = f"{count} of {count} test functions pass"
    if run is not None and run.status not in (0, 1, None):
        got += f"; pytest's exit status is {run.status}"
        return SuiteFailure(ran=ran, got=got, expect=expect, printed=end_of(run))
    return SuiteFailure(ran=ran, got=got, expect=expect, likely=server.label("Likely"))


async def each_has_a_purpose(bench: Bench) -> None:
    """Check that six test functions find different servers, and that none fails on more than half of them."""
    ran = "your tests on all broken servers"
    if len(bench.units) < LEAST_TESTS:
        raise SuiteFailure(
            ran=ran,
            got=f"{len(bench.units)} test functions: {names(bench.units)}",
            expect=f"at least {LEAST_TESTS} test functions",
            likely="A test checks several promises, so its name names none of them. Write a test for each promise.",
        )
    # Decide after their runs.
    for point in {server.point for server in bench.servers("broken")}:
        await bench.is_judged(point)
    control = spawn(_control(bench))
    try:
        await _find_purposes(bench, ran)
        await control
    finally:
        await stop(control)


async def _find_purposes(bench: Bench, ran: str) -> None:
    servers = bench.servers("broken")
    half = len(servers) // 2
    while True:
        results = {server.name: bench.known(server) for server in servers}
        sets = {
            unit: frozenset(name for name, known in results.items() if unit in known and known[unit].finds)
            for unit in bench.units
        }
        unknown = {unit: sum(unit not in known for known in results.values()) for unit in bench.units}
        wide = [unit for unit in bench.units if len(sets[unit]) > half]
        if wide:
            raise _too_wide(ran, wide[0], [server for server in servers if server.name in sets[wide[0]]], len(servers))
        needed = [unit for unit in bench.units if len(sets[unit]) + unknown[unit] > half]
        if number_of_purposes(sets, results) < LEAST_TESTS:
            needed = bench.units
        elif not needed:
            return
        pending = {server: [unit for unit in needed if unit not in results[server.name]] for server in servers}
        # Those with the shortest runs.
        chosen = sorted(
            (server for server in servers if pending[server]),
            key=lambda server: (not server.runs_fully, len(pending[server]) * _waits(results[server.name])),
        )
        if not chosen:
            raise _too_few(ran, sets)
        await asyncio.gather(*(_complete(bench, server, pending[server]) for server in chosen[:AT_A_TIME]))
        bench.progress(9, f"runs on broken servers, at most {max(len(chosen) - AT_A_TIME, 0)} left")


def number_of_purposes(sets: dict[str, frozenset[str]], results: dict[str, dict[str, Result]]) -> int:
    """Return the number of test functions of which no two find the same servers, as far as that's known.

    Args:
        sets: by test function, the names of the broken servers that it's known to find.
        results: by the name of a broken server, the known results of the test functions.
    """
    chosen: list[str] = []
    for unit, found in sets.items():
        both = {name for name, known in results.items() if unit in known}
        if found and all(
            any((name in found) != (name in sets[other]) for name in both if other in results[name]) for other in chosen
        ):
            chosen.append(unit)
    return len(chosen)


async def _complete(bench: Bench, server: TestServer, units: list[str]) -> None:
    """Run test functions whose results on a broken server aren't known yet."""
    run = await bench.complete(server, units)
    if run is None:
        return
    ran = f"your tests on a broken server: {server.what}"
    nothing_left(run, ran)
    if not results_of(run):
        raise first_failure(run, ran, "an end of each test")


def _waits(known: dict[str, Result]) -> float:
    """Return the seconds for which each of the known test functions on a server has waited until it failed."""
    return sum(result.failure.seconds for result in known.values() if result.failure) / max(len(known), 1)


def _too_wide(ran: str, unit: str, found: list[TestServer], number: int) -> SuiteFailure:
    listed = "".join(f"\n- {server.title}" for server in found)
    return SuiteFailure(
        ran=ran,
        got=f"{short(unit)} fails on {len(found)} of {number}:{listed}",
        expect=f"each test fails on at most half of them, {number // 2}",
        likely="This test checks several promises, so its failure doesn't name one. Split it.",
    )


def _too_few(ran: str, sets: dict[str, frozenset[str]]) -> SuiteFailure:
    by_set: dict[frozenset[str], list[str]] = {}
    for unit, found in sets.items():
        by_set.setdefault(found, []).append(short(unit))
    distinct = by_set.keys() - {frozenset()}
    same = [", ".join(units) for found, units in by_set.items() if found and len(units) > 1]
    none = by_set.get(frozenset(), [])
    got = f"only {len(distinct)} groups of test functions that find different servers"
    got += "".join(f"\n{units}: the same finds" for units in same)
    got += f"\n{', '.join(none)}: no find" if none else ""
    return SuiteFailure(
        ran=ran,
        got=got,
        expect=f"at least {LEAST_TESTS} test functions that each find other servers",
        likely="Tests that find the same servers prove the same. Give each test a promise of its own.",
    )


async def finds_beyond(bench: Bench, name: str) -> None:
    """Check that a test fails on a server that shows its mistake only if a member reads nothing.

    Args:
        bench: the runs of the suite.
        name: the server's name, such as `beyond_live_list`.
    """
    server = bench.server(name)
    known = bench.known(server)
    missing = [unit for unit in bench.units if unit not in known]
    run = None
    if missing and not any(result.finds for result in known.values()):
        run = await bench.run(server, Plan("", units=missing, seconds=WHOLE_WITHIN), lambda run, _: bool(run.found))
        bench.remember(server, run)
    if not any(result.finds for result in bench.known(server).values()):
        count = len(bench.units)
        raise SuiteFailure(
            ran=f"your tests on a broken server: {server.what}",
            got=f"{count} of {count} test functions pass",
            expect="a test that fails",
            likely=server.label("Likely"),
        )
