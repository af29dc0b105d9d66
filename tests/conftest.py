"""How pytest runs the course: the option --exercise, and the checks of a solution as tests."""

import os
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from workshop.comparing import compare
from workshop.course import CourseError, Step, find_step
from workshop.server import Server

collect_ignore = ["answers", "servers"]
"""Folders in which no file is a test of the course: the suites in `answers/` are judged."""
SUITES = "suites"
"""The group of the tests that judge suites."""
ALL = "all"
LEFT_OUT = pytest.StashKey[Counter[str]]()
"""The number of left-out tests, by the text of their mark."""
MOST_WORKERS = 8
"""The largest number of tests to run at a time."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("course")
    group.addoption(
        "--exercise", metavar="N", nargs="?", const=ALL, help="judge your answer to step N; without N, to every step"
    )
    group.addoption("--all", action="store_true", help="run everything, not only what shows that the course works here")
    group.addoption("--watch", action="store_true", help="with --exercise N: judge it again whenever you save")
    group.addoption("--solution", action="store_true", help="with --exercise N: show the worked solution next to yours")
    group.addoption("--seed", type=int, metavar="N", help="with --exercise N: draw the same values as an earlier run")
    group.addoption("--events", action="store_true", help="with --exercise: print lines of JSON, for a program")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """With --exercise, judge the answers, and run no tests."""
    option = config.option
    # On Windows, a pipe and some terminals have an encoding without the check mark.
    sys.stdout.reconfigure(encoding="utf-8", errors="replace")
    if option.exercise is None:
        if option.watch or option.solution:
            raise pytest.UsageError("Say which step: --exercise 2, for example.")
        return None
    if option.exercise == ALL:
        if option.watch or option.solution:
            raise pytest.UsageError("Say which step, as in --exercise 2: --watch and --solution are for one.")
        from judge.command import judge_all

        return pytest.ExitCode.OK if judge_all(option.events) else pytest.ExitCode.TESTS_FAILED
    try:
        step = find_step(option.exercise)
    except CourseError as error:
        raise pytest.UsageError(str(error)) from None
    if option.solution:
        print(compare(option.exercise))
        return pytest.ExitCode.OK
    # Start the server first, because it boots while the clients and the checks are imported.
    first = None if step.is_suite else Server(step.target("exercise"), step.folder)
    from judge.command import judge_at_each_save, judge_once

    if option.watch:
        judge_at_each_save(step, first, option.events)
        return pytest.ExitCode.OK
    return pytest.ExitCode.OK if judge_once(step, first, option.events, option.seed) else pytest.ExitCode.TESTS_FAILED


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return the number of tests to run at a time.

    Two for each core, because the tests often wait for a kernel or a deadline. With --all, three for two cores: most
    of those tests judge answers, which keeps every core busy, so a fourth one makes none of them faster. At most
    eight, because each has kernels, servers and browsers, which need memory.
    """
    cores = os.cpu_count() or 1
    return min(cores + (cores + 1) // 2 if config.option.all else 2 * cores, MOST_WORKERS)


def leaves_out(config: pytest.Config) -> bool:
    """Return whether this run leaves the thorough tests out. Files and tests that you name always run."""
    return not config.option.all and config.args_source is not pytest.Config.ArgsSource.ARGS


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the thorough tests out of a plain `pytest`, and count them."""
    if not leaves_out(config):
        return
    marks = {item: item.get_closest_marker("thorough") for item in items}
    left_out = Counter(mark.args[0] for mark in marks.values() if mark)
    config.stash[LEFT_OUT] = left_out
    if hasattr(config, "workeroutput"):
        config.workeroutput["left_out"] = dict(left_out)
    config.hook.pytest_deselected(items=[item for item, mark in marks.items() if mark])
    items[:] = [item for item, mark in marks.items() if not mark]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Store the left-out tests of a worker of pytest-xdist. All workers leave out the same ones."""
    node.config.stash[LEFT_OUT] = Counter(getattr(node, "workeroutput", {}).get("left_out", {}))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """In CI, fail if a test was skipped. End with a line about the left-out tests and the command that runs them."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter and os.environ.get("CI") and sys.platform == "linux" and reporter.stats.get("skipped"):
        reporter.write_line("\nIn CI nothing may be skipped; pytest -rs lists what was.", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    yield
    if reporter and (left_out := session.config.stash.get(LEFT_OUT, None)):
        parts = ", ".join(f"{what} ({count})" for what, count in left_out.items())
        reporter.write_line(f"Left out: {parts}. pytest --all runs everything.")


def part_of(path: str) -> str:
    """Return the part of the course that a test belongs to, by the name of its file and class."""
    if folder := re.match(r"tests/(lessons|checks)/", path):
        return "lessons" if folder[1] == "lessons" else "solutions"
    # Sum the files of the browser page.
    found = re.search(r"test_(page|\w+)", path)
    return found[1] if found else path


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the seconds that each part of the course took."""
    seconds: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds[part_of(report.nodeid)] += report.duration
    if seconds:
        terminalreporter.section("seconds of work, several tests at a time")
        for part, total in seconds.most_common():
            terminalreporter.write_line(f"{total:8.1f}  {part}")


class CheckItem(pytest.Item):
    """One check of an exercise, as a test of the worked solution."""

    # Judge a step only once: the verdict has all of its checks.
    verdicts = pytest.StashKey[dict[str, object]]()

    def runtest(self) -> None:
        from judge.judges import judge_of

        step = step_of(self)
        verdicts = self.config.stash.setdefault(self.verdicts, {})
        if step.name not in verdicts:
            verdicts[step.name] = judge_of(step, step.solution).run()
        verdict = verdicts[step.name]
        every = [*verdict.checks, *(verdict.hard.checks if verdict.hard else [])]
        check = next((check for check in every if check.name == self.name), None)
        # The hard cases aren't in the verdict if a required check has failed.
        if check is None or verdict.state(check) != "passed":
            # Delete the verdict, so the answer is judged again when CI reruns a failed test.
            del verdicts[step.name]
            pytest.fail(f"{verdict}\n{verdict.hard or ''}", pytrace=False)

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, f"{step_of(self).name}: {self.name}"


def step_of(node: pytest.Item) -> Step:
    """Return the step that a test module belongs to."""
    return find_step(node.path.stem.removeprefix("test_"))


def pytest_pycollect_makeitem(collector: pytest.Collector, name: str, obj: object) -> CheckItem | None:
    """Collect a check as a separate kind of item, which needs no fixtures and runs with the others."""
    if not isinstance(getattr(obj, "check", None), tuple):
        return None
    item = CheckItem.from_parent(collector, name=name)
    # Use one process for a step, so its checks run side by side.
    group = f"solution {collector.path.stem}"
    if step_of(item).is_suite:
        # It runs on 32 servers, which takes a minute or two. Suites are judged one at a time: each uses all cores.
        item.add_marker(pytest.mark.thorough("checks of the worked test suite"))
        group = SUITES
    item.add_marker(pytest.mark.xdist_group(group))
    return item


@pytest.fixture
def anyio_backend() -> str:
    """Return the event loop for coroutine tests."""
    return "asyncio"


@pytest.fixture
async def lesson(request: pytest.FixtureRequest) -> AsyncIterator[object]:
    """Start the lesson of the step under uvicorn, on a separate port."""
    from judge.subject import Subject

    step = step_of(request.node)
    with Server(step.target("lesson"), step.folder) as server:
        subject = Subject(server, 2.0, step.folder)
        yield subject
        await subject.close()
