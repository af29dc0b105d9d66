"""Runs of a test suite against a server of your choice, each in a folder and processes of its own.

A suite is a package such as `exercise/`: the server `main.py`, `conftest.py` and `test_*.py`. A run copies it, puts
another server in the place of `main.py`, and runs `python -m pytest exercise` in the folder above.
"""

import asyncio
import codecs
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil

from .course import CHECKPOINTS
from .process import end, start_module

PLUGIN = Path(__file__).with_name("child")
RECORD = "\x1e"
MARK = "WORKSHOP_RUN"
"""The environment variable that marks every process of a run."""
CACHES = {"__pycache__", ".hypothesis", ".pytest_cache", CHECKPOINTS}
"""Folders that tools leave behind, and that aren't part of a suite."""
LONGEST_OUTPUT = 400_000
"""The number of characters of a run's output that are kept, from the end."""
GRACE = 1.0
"""Seconds for the processes of a run to end after pytest has ended."""
SETTINGS = "[pytest]\n"
"""The content of the run's own pytest.ini, so that no other settings are read."""
SHOWN = "main:app"
"""The word by which the start of a server is recognized among the processes that a run starts."""


@dataclass(frozen=True)
class Plan:
    """The way to run a suite.

    Args:
        server: the code of `main.py`.
        environment: settings for the environment of the run.
        package: the folder of the suite, such as `exercise`.
        units: the ids of the test functions to run; by default all.
        seed: the seed of the order of the tests; by default, their order in the files.
        reverse: whether to reverse the order.
        arguments: more arguments for pytest.
        strict: whether each warning is an error, as with `python -W error -m pytest -W error`.
        seconds: the limit of the run, in seconds.
        folder: the name of the folder to run in.
    """

    server: str
    environment: dict[str, str] = field(default_factory=dict)
    package: str = "exercise"
    units: list[str] | None = None
    seed: int | None = None
    reverse: bool = False
    arguments: tuple[str, ...] = ()
    strict: bool = False
    seconds: float = 60.0
    folder: str = "suite"


@dataclass
class Outcome:
    """The end of a test function's phase that failed, or of its call."""

    test: str
    phase: str
    outcome: str
    seconds: float
    error: str
    traceback: str


@dataclass
class Run:
    """A run of a suite, which may still go on."""

    plan: Plan
    place: Path
    """The folder of the run. It's deleted at its end."""
    units: list[str] = field(default_factory=list)
    """The ids of the suite's test functions."""
    ends: list[Outcome] = field(default_factory=list)
    """The phases of tests that have ended, in their order."""
    commands: list[list[str]] = field(default_factory=list)
    """The commands that the run has started."""
    starters: list[str] = field(default_factory=list)
    """The ids of the test functions during which a server was started, in their setup too."""
    broken: list[tuple[str, str]] = field(default_factory=list)
    """The files that can't be imported, with the traceback."""
    running: str = ""
    """The test that runs now, or that ran when the run was ended."""
    output: str = ""
    status: int | None = None
    """The exit status of pytest; None if the run was ended before."""
    seconds: float = 0.0
    """The duration of the run."""
    seconds_after_call: float = 0.0
    """The time from the last end of a test's call to the end of the run."""
    timed_out: bool = False
    stopped: bool = False
    """Whether the run was ended because it had shown enough."""
    left: list[str] = field(default_factory=list)
    """The commands of processes that were left running."""
    files: list[str] = field(default_factory=list)
    """The files that the run has left in its folder, or in the folder for temporary files."""
    pid: int = 0
    begun: float = 0.0
    last_call: float = 0.0
    first_find: float | None = None
    """The seconds from the start of the run to the first failure of a test's call; None without one."""
    rest: str = ""

    @property
    def starts(self) -> list[list[str]]:
        """The commands that start a server."""
        return [command for command in self.commands if any(SHOWN in word for word in command)]

    @property
    def failures(self) -> list[Outcome]:
        """The phases that failed."""
        return [each for each in self.ends if each.outcome == "failed"]

    @property
    def found(self) -> set[str]:
        """The ids of the test functions that failed in their call."""
        return {unit_of(each.test) for each in self.failures if each.phase == "call"}

    @property
    def called(self) -> set[str]:
        """The ids of the test functions whose calls have all ended, or failed."""
        return {unit_of(each.test) for each in self.ends if each.phase == "call" and each.outcome != "skipped"}

    @property
    def passed(self) -> bool:
        """Whether pytest ended with success, and so ran at least one test."""
        return self.status == 0

    def add(self, text: str) -> list[dict[str, Any]]:
        """Add output of the run, and return the reports in it."""
        reports = []
        parts = (self.rest + text).split(RECORD)
        # The last report may be incomplete.
        if len(parts) > 1 and "\n" not in parts[-1]:
            self.rest = RECORD + parts.pop()
        else:
            self.rest = ""
        for number, part in enumerate(parts):
            if number:
                line, _, part = part.partition("\n")
                reports.append(json.loads(line))
            self.output = (self.output + part)[-LONGEST_OUTPUT:]
        for report in reports:
            self._note(report)
        return reports

    def _note(self, report: dict[str, Any]) -> None:
        what = report["what"]
        if what == "collected":
            self.units = report["units"]
        elif what == "process":
            self.commands.append(report["command"])
            if any(SHOWN in word for word in report["command"]):
                self.starters.append(unit_of(self.running))
        elif what == "start":
            self.running = report["test"]
        elif what == "broken":
            self.broken.append((report["file"], report["traceback"]))
        elif what == "end":
            if report["phase"] == "call":
                self.last_call = time.monotonic()
                if report["outcome"] == "failed" and self.first_find is None:
                    self.first_find = self.last_call - self.begun
            if report["phase"] == "teardown":
                self.running = ""
            keys = ("test", "phase", "outcome", "seconds", "error", "traceback")
            self.ends.append(Outcome(*(report[key] for key in keys)))


def unit_of(test: str) -> str:
    """Return the id of a test function, without the parameters of a test."""
    return test.partition("[")[0]


async def run_suite(
    suite: Path, plan: Plan, on_report: Callable[[Run, dict[str, Any]], object] = lambda run, report: None
) -> Run:
    """Run a suite, and leave nothing of the run behind.

    Args:
        suite: the folder above the suite's package.
        plan: the server, and the way to run the suite.
        on_report: called with each report of the run. If it returns True, the run is ended.
    """
    base = Path(tempfile.mkdtemp(prefix="workshop-"))
    place = base / plan.folder
    mark = uuid4().hex
    run = Run(plan, place)
    try:
        _fill(place, suite, plan)
        before = _files_in(place)
        enough = asyncio.Event()
        begun = run.begun = time.monotonic()
        process = _start(place, plan, mark)
        run.pid = process.pid
        try:
            reading = asyncio.create_task(_read(process, run, on_report, enough))
            stopping = asyncio.create_task(enough.wait())
            done, _ = await asyncio.wait({reading, stopping}, timeout=plan.seconds, return_when=asyncio.FIRST_COMPLETED)
            run.stopped = enough.is_set()
            run.timed_out = not done
            run.seconds = time.monotonic() - begun
            run.seconds_after_call = time.monotonic() - (run.last_call or begun)
            if reading in done:
                await reading
                run.status = process.wait()
                await _gone(mark, GRACE)
        finally:
            # Find them before the kill: it would end those of the same group.
            left = _marked(mark)
            commands = [_command(each) for each in left]
            end(process)
            for each in left:
                with contextlib.suppress(psutil.Error):
                    each.kill()
            stopping.cancel()
            # The reader ends now: no process holds the other end of its pipe.
            await asyncio.wait({reading})
        if run.status is not None:
            run.left = commands
            run.files = sorted(str(path) for path in _files_in(place) - before)
    finally:
        await asyncio.to_thread(shutil.rmtree, base, ignore_errors=True)
    return run


def _fill(place: Path, suite: Path, plan: Plan) -> None:
    """Copy the suite, with another server and settings of its own."""
    leave_out = shutil.ignore_patterns(*CACHES)
    shutil.copytree(suite / plan.package, place / plan.package, ignore=leave_out)
    (place / plan.package / "main.py").write_text(plan.server, "utf-8")
    (place / "pytest.ini").write_text(SETTINGS, "utf-8")
    (place / "temporary").mkdir()


def _start(place: Path, plan: Plan, mark: str) -> Any:
    # pytest itself may run the checks, and its variables aren't those of this run.
    own = {name: "" for name in os.environ if name.startswith(("PYTEST_", "COV_"))}
    temporary = str(place / "temporary")
    environment = own | {
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        # As with python -m, the working folder is on the path.
        "PYTHONPATH": os.pathsep.join([str(PLUGIN), str(place)]),
        "WORKSHOP_TESTS": json.dumps(
            {"units": None if plan.units is None else sorted(plan.units), "seed": plan.seed, "reverse": plan.reverse}
        ),
        MARK: mark,
        # A proxy in the environment isn't for the servers of this machine.
        **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost"),
        **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), temporary),
        **plan.environment,
    }
    arguments = [
        *("-c", str(place / "pytest.ini"), "--rootdir", str(place), "-p", "no:cacheprovider"),
        *("-p", "anyio.pytest_plugin", "-p", "suite_events", "--basetemp", str(place.parent / "basetemp")),
        *(["-W", "error"] if plan.strict else []),
        *plan.arguments,
        plan.package,
    ]
    if plan.strict:
        return start_module("pytest", arguments, environment, folder=place, options=["-W", "error"])
    return start_module("pytest", arguments, environment, folder=place, warm=True)


async def _read(
    process: Any, run: Run, on_report: Callable[[Run, dict[str, Any]], object], enough: asyncio.Event
) -> None:
    """Read the output until pytest has ended. A process that it leaves running may keep the pipe open."""
    loop = asyncio.get_running_loop()

    def take(text: str) -> None:
        for report in run.add(text):
            if on_report(run, report):
                enough.set()

    def read() -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        while raw := process.stdout.read1(65_536):
            loop.call_soon_threadsafe(take, decoder.decode(raw))

    reading = asyncio.create_task(asyncio.to_thread(read))
    ending = asyncio.create_task(asyncio.to_thread(process.wait))
    await asyncio.wait({reading, ending}, return_when=asyncio.FIRST_COMPLETED)
    await ending
    await asyncio.wait({reading}, timeout=GRACE)


def _marked(mark: str) -> list[psutil.Process]:
    """Return the processes of a run that still run."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


async def _gone(mark: str, seconds: float) -> None:
    """Wait until no process of a run is left, or the time is over."""
    deadline = time.monotonic() + seconds
    while _marked(mark) and time.monotonic() < deadline:
        await asyncio.sleep(0.02)


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return f"process {process.pid}"


def _files_in(folder: Path) -> set[Path]:
    return {
        path.relative_to(folder)
        for path in folder.rglob("*")
        if path.is_file() and not CACHES & set(path.relative_to(folder).parts)
    }


def interrupt(run: Run) -> None:
    """Send SIGINT to the process group of a run, as Ctrl+C in a terminal does."""
    if sys.platform != "win32":
        os.killpg(run.pid, signal.SIGINT)
