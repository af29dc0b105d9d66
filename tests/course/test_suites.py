"""The judge of test suites: its servers, its runs, and what it repeats after a save."""

import asyncio
import importlib
import multiprocessing
import shutil
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from judge.command import Progress
from judge.judge import Judge
from judge.model import Verdict, checks_of
from judge.suites import finds, kept, life
from judge.suites.bench import Bench, failed_by_chance, results_of
from judge.suites.failures import SuiteFailure
from judge.suites.kept import KEPT, Result
from judge.suites.servers import LABELS, TestServer, servers_of
from judge.suites.turns import Turns
from judge.suites.units import contents_of
from workshop.course import find_step
from workshop.suites import MARK, Outcome, Plan, Run, run_suite

STEP = find_step(12)
SERVERS = servers_of(STEP)
ROUNDS = 5
QUIET_ROUNDS = 3
LONG_NAMES = " = 10_000\n"
"""The limit for names of rooms while the checks of step 03, which draw longer ones, judge a server."""
FAR_BEYOND = 120.0
"""Seconds: a generous deadline that separates working from hung."""
ONE = "exercise/test_rooms.py::test_text_is_unchanged"


def each(servers: list[TestServer]) -> pytest.MarkDecorator:
    """Parametrize a test over servers."""
    return pytest.mark.parametrize("server", servers, ids=lambda server: server.name)


def run_once(server: TestServer, suite: Path = STEP.solution, **options: object) -> Run:
    """Run a suite on a server, by default the worked solution."""
    plan = replace(Plan(server.code, server.environment), **options)
    return asyncio.run(run_suite(suite, plan))


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """Return a folder with a copy of the worked solution."""
    shutil.copytree(STEP.solution, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


class TestServers:
    def test_headers(self) -> None:
        """Every server explains itself, and no two have the same code."""
        for server in SERVERS[1:]:
            assert server.title, server.name
            assert {name for name, _ in server.labels} <= set(LABELS)
            assert server.label("Granted" if server.kind == "right" else "Likely"), server.name
            if server.kind == "broken":
                assert 5 <= server.point <= 8 and server.label("Breaks"), server.name
        inside = {server.name: server.what for server in SERVERS}
        assert inside["broken_rooms_unanswered"].startswith("GET ") and inside["right_class"].startswith("a server ")
        codes = {f"{server.code}{server.environment}" for server in SERVERS}
        assert len(codes) == len(SERVERS)
        assert sum(server.kind == "right" for server in SERVERS) == 9

    @pytest.mark.thorough("servers of step 12 under the checks of step 03")
    @each([server for server in SERVERS if server.kind != "beyond" and server.label("Breaks") not in ("S5", "S8")])
    def test_step_03_agrees(self, server: TestServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The checks of step 03 accept every right server, and refuse every broken one."""
        assert server.code.count(" = 20\n") == 1
        (tmp_path / "exercise.py").write_text(server.code.replace(" = 20\n", LONG_NAMES), "utf-8")
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        verdict = Judge(find_step(3), tmp_path).run()
        assert verdict.passed == (server.kind == "right"), str(verdict)


@pytest.fixture
def busy() -> Iterator[None]:
    """Keep two processes busy."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=spin, daemon=True) for _ in range(2)]
    for process in processes:
        process.start()
    yield
    for process in processes:
        process.kill()
        process.join()


def spin() -> None:
    """Use a processor, without an end."""
    while True:
        pass


async def finds_all(rounds: int) -> list[str]:
    """Return the broken servers that the worked solution doesn't find, in some rounds."""
    turns = Turns(2)

    async def finds(server: TestServer) -> str:
        async with turns.one():
            plan = Plan(server.code, server.environment)
            run = await run_suite(STEP.solution, plan, lambda run, report: bool(run.found))
        return "" if run.found else server.name

    servers = [server for server in SERVERS if server.kind == "broken"]
    missed = await asyncio.gather(*(finds(server) for _ in range(rounds) for server in servers))
    return [name for name in missed if name]


@pytest.mark.thorough("suites, again and again")
@pytest.mark.xdist_group("suites")
class TestSolution:
    def test_finds_every_time(self) -> None:
        """The worked solution finds each broken server, each time."""
        assert asyncio.run(finds_all(QUIET_ROUNDS)) == []

    @pytest.mark.usefixtures("busy")
    def test_finds_every_time_on_a_busy_machine(self) -> None:
        """It does so next to two busy processes, too."""
        assert asyncio.run(finds_all(ROUNDS - QUIET_ROUNDS)) == []


class TestRuns:
    def test_reports(self) -> None:
        """A run reports its tests, the starts of its servers, and its end."""
        run = run_once(SERVERS[0])
        assert run.passed and len(run.units) == len(run.called) >= 6
        assert len(run.starts) == 2 and all("main:app" in command for command in run.starts)
        assert not run.left and not run.files

    def test_order(self) -> None:
        """A seed decides the order, and `reverse` reverses it."""
        orders = []
        for reverse in (False, True):
            run = run_once(SERVERS[0], seed=7, reverse=reverse)
            orders.append([each.test for each in run.ends if each.phase == "call"])
        assert orders[0] == orders[1][::-1] != sorted(orders[0])

    def test_hang_is_named(self, suite: Path) -> None:
        """A run that doesn't end is ended, with everything that it has started, and its test is named."""
        (suite / "exercise" / "test_rooms.py").write_text(
            f"import subprocess, sys, time\n\n\ndef test_waits():\n{sleeper(600)}    time.sleep(600)\n", "utf-8"
        )
        run = run_once(SERVERS[0], suite, seconds=3.0)
        assert run.timed_out and run.running == "exercise/test_rooms.py::test_waits"
        assert not sleepers(600)

    def test_left_process_is_named_and_ended(self, suite: Path) -> None:
        """A process that a run leaves is listed, and killed."""
        (suite / "exercise" / "test_rooms.py").write_text(
            f"import subprocess, sys\n\n\ndef test_leaves():\n{sleeper(601)}", "utf-8"
        )
        run = run_once(SERVERS[0], suite)
        assert len(run.left) == 1 and "time.sleep(601)" in run.left[0]
        assert not sleepers(601)

    def test_left_file_is_named(self, suite: Path) -> None:
        """A file that a run leaves is listed."""
        (suite / "exercise" / "test_rooms.py").write_text(
            "from pathlib import Path\n\n\ndef test_writes():\n    Path('server.log').write_text('')\n", "utf-8"
        )
        assert run_once(SERVERS[0], suite).files == ["server.log"]

    def test_own_settings(self, suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Settings of pytest in the environment, or around the suite, don't change a run."""
        monkeypatch.setenv("PYTEST_ADDOPTS", "--collect-only")
        (suite / "pytest.ini").write_text("[pytest]\naddopts = --collect-only\n", "utf-8")
        assert run_once(SERVERS[0], suite, units=[ONE]).called == {ONE}


def sleeper(seconds: int) -> str:
    """Return a line of a test that starts a process in a session of its own, which sleeps for a number of seconds."""
    code = f"import time; time.sleep({seconds})"
    return f"    subprocess.Popen([sys.executable, '-c', '{code}'], start_new_session=True)\n"


def sleepers(seconds: int) -> list[psutil.Process]:
    """Return the processes of runs that sleep for this number of seconds. Each test has a number of its own."""
    found = []
    for process in psutil.process_iter():
        try:
            if MARK in process.environ() and f"time.sleep({seconds})" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


class TestContents:
    def test_one_test_changed(self, suite: Path) -> None:
        """A change in one test function changes only its own key."""
        before = contents_of(suite)
        path = suite / "exercise" / "test_rooms.py"
        path.write_text(path.read_text("utf-8").replace('"still here"', '"I am still here"'), "utf-8")
        after = contents_of(suite)
        changed = [unit for unit in before.functions if before.key(unit) != after.key(unit)]
        assert changed == ["exercise/test_rooms.py::test_binary_message_closes_its_sender"]
        assert before.shared == after.shared and before.whole != after.whole

    @pytest.mark.parametrize("file", ["conftest.py", "clients.py"])
    def test_shared_code_changed(self, suite: Path, file: str) -> None:
        """A change in a fixture or a helper changes the keys of all functions."""
        before = contents_of(suite)
        path = suite / "exercise" / file
        path.write_text(path.read_text("utf-8") + "\nMORE = 1\n", "utf-8")
        after = contents_of(suite)
        assert all(before.key(unit) != after.key(unit) for unit in before.functions)

    def test_server_changed(self, suite: Path) -> None:
        """The server isn't part of a suite: the runs put another one in its place."""
        before = contents_of(suite)
        (suite / "exercise" / "main.py").write_text("app = None\n", "utf-8")
        assert contents_of(suite) == before


FEW = {"right_given", "right_class", "broken_twice", "broken_text_stripped"}
"""Servers that are enough to show what a judge repeats."""


async def judge_on_few(suite: Path) -> None:
    """Run the checks of TODO 1, 4, 5 and 6 on few servers."""
    bench = Bench(STEP, suite, 1, lambda point, words: None)
    await life.passes(bench)
    await life.passes_twice(bench)
    await finds.holds_on_right_servers(bench)
    await finds.finds(bench, 5)
    await finds.finds(bench, 6)


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """Return a list of the plans of all later runs, which use few servers."""
    plans: list[Plan] = []

    async def counted(folder: Path, plan: Plan, *more: Any) -> Run:
        plans.append(plan)
        return await run_suite(folder, plan, *more)

    few = tuple(server for server in SERVERS if server.name in FEW)
    monkeypatch.setattr("judge.suites.bench.servers_of", lambda step: few)
    monkeypatch.setattr("judge.suites.bench.run_suite", counted)
    monkeypatch.setattr("judge.suites.kept.KEPT.results", OrderedDict())
    monkeypatch.setattr("judge.suites.kept.KEPT.situations", OrderedDict())
    return plans


class TestProgress:
    def test_lines(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Outside of a terminal, each running check has one line on standard error, and the verdict is the output."""
        checks = checks_of(importlib.import_module(f"checks.test_{STEP.name}").TestExercise)[:2]
        progress = Progress()
        for reached, doing in ((0, ""), (0, "right servers: 1 of 9"), (1, "")):
            progress(Verdict(STEP.name, checks, reached=reached, doing=doing))
        progress(Verdict(STEP.name, checks))
        printed = capsys.readouterr()
        lines = [f"{number} of 2 checks, running: 1 {check.title}" for number, check in enumerate(checks)]
        assert printed.err.splitlines() == lines
        assert "2 of 2 checks" in printed.out


class TestBench:
    def test_results_are_kept(self, suite: Path, plans: list[Plan]) -> None:
        """Without a change, nothing runs again. After a change in one test, only that test does."""
        asyncio.run(judge_on_few(suite))
        # One whole run, two at the same time, which are the ordered ones on the given server, two on the other right
        # server, and one on each broken server.
        assert len(plans) == 7
        plans.clear()
        asyncio.run(judge_on_few(suite))
        assert plans == []
        path = suite / "exercise" / "test_rooms.py"
        path.write_text(path.read_text("utf-8").replace('"still here"', '"I am still here"'), "utf-8")
        asyncio.run(judge_on_few(suite))
        # The first run shows that the suite as a whole passes. The broken servers are found by other tests.
        changed = ["exercise/test_rooms.py::test_binary_message_closes_its_sender"]
        assert [plan.units for plan in plans] == [None, changed, changed]

    def test_order_decides(self, suite: Path, plans: list[Plan]) -> None:
        """A suite that only passes if its tests run in one order is refused with the seed, and not as one of two runs
        that disturb each other."""
        path = suite / "exercise" / "test_rooms.py"
        first, second = "def test_a():\n    seen.append(1)\n", "def test_b():\n    assert seen\n"
        path.write_text(f"{path.read_text('utf-8')}\n\nseen = []\n\n\n{first}\n\n{second}", "utf-8")
        with pytest.raises(SuiteFailure, match="A test needs another one to run before it") as failed:
            asyncio.run(judge_on_few(suite))
        assert failed.value.in_order

    def test_different_purposes(self) -> None:
        """Two functions count as two only if a server is known that one of them finds and the other one doesn't."""
        find, miss = Result(False, Outcome("test_a", "call", "failed", 0.1, "", "")), Result(True)
        sets = {"a": frozenset({"one", "two"}), "b": frozenset({"one"}), "c": frozenset()}
        results = {"one": {"a": find, "b": find, "c": miss}, "two": {"a": find, "c": miss}}
        assert finds.number_of_purposes(sets, results) == 1
        results["two"]["b"] = miss
        assert finds.number_of_purposes(sets, results) == 2

    @pytest.mark.parametrize(
        ("phase", "seconds", "port", "is_chance"),
        [
            ("call", 0.1, "0", False),
            ("call", 2.1, "0", True),
            ("call", 8.1, "0", False),
            ("setup", 0.1, "0", False),
            ("setup", 8.1, "0", True),
            ("call", 0.1, "41234", True),
        ],
    )
    def test_failed_by_chance(self, phase: str, seconds: float, port: str, is_chance: bool, tmp_path: Path) -> None:
        """A missed deadline may be chance, and so may any failure if the suite passes a port to its server."""
        command = ["python", "-m", "uvicorn", "main:app", "--port", port]
        run = Run(Plan(""), tmp_path, commands=[command], status=0)
        assert not failed_by_chance(run)
        run.ends.append(Outcome(ONE, phase, "failed", seconds, "", ""))
        assert failed_by_chance(run) is is_chance

    def test_interrupted_test_has_no_result(self) -> None:
        """A test that was running when its run ended has no result."""
        run = run_once(SERVERS[0])
        assert ONE in results_of(run)
        run.running = f"{ONE}[2]"
        assert ONE not in results_of(run)

    def test_stored(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Results are stored in a file for the same course, and ignored by another one."""
        monkeypatch.setattr("judge.suites.kept.FILE", tmp_path / "results.json")
        for name in ("results", "situations"):
            monkeypatch.setattr(f"judge.suites.kept.KEPT.{name}", OrderedDict())
        run = run_once(SERVERS[0])
        KEPT.keep_situation(("alone", "server", "suite"), run)
        KEPT.keep_result(("unit", "server", "suite"), Result(False, run.ends[0]))
        kept.store()
        for fingerprint, number in ((kept.fingerprint(), 1), ("another course", 0)):
            KEPT.situations.clear()
            KEPT.results.clear()
            monkeypatch.setattr("judge.suites.kept.fingerprint", lambda text=fingerprint: text)
            kept.load.__wrapped__()
            assert len(KEPT.situations) == len(KEPT.results) == number
            if number:
                assert KEPT.situations["alone", "server", "suite"].ends == run.ends
        (tmp_path / "results.json").write_text("{", "utf-8")
        kept.load.__wrapped__()


@pytest.mark.anyio
class TestTurns:
    async def test_earlier_checks_first(self) -> None:
        """A free turn goes to the earliest check that waits."""
        from judge.suites.turns import RANK

        turns, order = Turns(1), []

        async def take(rank: int) -> None:
            RANK.set(rank)
            async with turns.one():
                order.append(rank)
                await asyncio.sleep(0)

        async with asyncio.timeout(FAR_BEYOND):
            await asyncio.gather(*(asyncio.create_task(take(rank)) for rank in (3, 2, 1)))
        # The first one found a free turn.
        assert order == [3, 1, 2]

    async def test_alone(self) -> None:
        """Two that want to be alone don't wait for each other."""
        turns = Turns(2)

        async def alone() -> None:
            async with turns.all():
                await asyncio.sleep(0)

        async with asyncio.timeout(FAR_BEYOND):
            await asyncio.gather(alone(), alone(), alone())

    async def test_canceled(self) -> None:
        """A canceled waiter leaves its turn to the others."""
        turns = Turns(1)
        async with turns.one():
            waiter = asyncio.create_task(turns.one().__aenter__())
            await asyncio.sleep(0)
            waiter.cancel()
            await asyncio.wait([waiter])
        async with asyncio.timeout(FAR_BEYOND), turns.one():
            pass
