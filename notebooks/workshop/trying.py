"""`try_suite`: run tests on a server of your choice, in a process of its own that has a time limit."""

from dataclasses import dataclass
from pathlib import Path

from .course import CourseError
from .suites import Plan, Run, run_suite, unit_of
from .tables import Table

LONGEST_REASON = 90
"""The number of characters of an error that the table shows."""


@dataclass(frozen=True)
class SuiteResult:
    """The results of a suite's test functions on one server. A notebook shows them as a table."""

    rows: list[tuple[str, str, str]]
    """The name of each function, its result, and the reason if it didn't pass."""
    failed: list[str]
    """The names of the functions of which a test failed in its call, and so found something."""
    passed: bool
    """Whether all tests passed."""
    summary: str
    """The result in a few words, such as `all 7 pass`."""

    def _table(self) -> Table:
        return Table(("test", "result", "reason"), self.rows)

    def _repr_markdown_(self) -> str:
        return self._table()._repr_markdown_()

    def __repr__(self) -> str:
        return repr(self._table())


async def try_suite(tests: Path | str, server: Path | str | None = None, seconds: float = 10) -> SuiteResult:
    """Run tests on a server, and leave nothing of the run behind.

    Args:
        tests: the folder of the tests. It's a package, such as `steps/12_testing/exercise`, and isn't changed.
        server: the file that takes the place of its `main.py`; by default, its own.
        seconds: the limit of the run, in seconds. When it's over, the run is killed.

    Raises:
        CourseError: the folder has no tests, or there's no such file.
    """
    tests = Path(tests).resolve()
    server = Path(server) if server else tests / "main.py"
    for path in (tests / "__init__.py", server):
        if not path.is_file():
            raise CourseError(f"At {path}, there's no file.")
    run = await run_suite(tests.parent, Plan(server.read_text("utf-8"), package=tests.name, seconds=seconds))
    if not run.units and not run.broken:
        raise CourseError(f"pytest found no tests in {tests}.")
    return _result(run, f"didn't end within {seconds:g} s")


def _result(run: Run, timeout: str) -> SuiteResult:
    """Return the results of a run.

    Args:
        run: the run.
        timeout: the result of a test that was still running at the limit.
    """
    names = {unit: unit.partition("::")[2] for unit in run.units}
    rows = [(file, "can't be imported", _last_line(traceback)) for file, traceback in run.broken]
    for unit, name in names.items():
        failure = next((each for each in run.failures if unit_of(each.test) == unit), None)
        if failure is not None:
            result = "failed" if failure.phase == "call" else f"failed in its {failure.phase}"
            rows.append((name, result, _shorten(failure.error)))
        elif run.timed_out and unit_of(run.running) == unit:
            rows.append((name, timeout, ""))
        else:
            rows.append((name, "passed" if unit in run.called else "didn't run", ""))
    failed = [names[unit] for unit in run.units if unit in run.found]
    different = [row for row in rows if row[1] != "passed"]
    if run.passed:
        summary = f"all {len(rows)} pass"
    elif failed:
        summary = f"failed: {', '.join(failed)}"
    elif run.timed_out:
        summary = f"{timeout}: {names.get(unit_of(run.running), 'pytest itself')}"
    else:
        summary = f"{different[0][1]}: {different[0][0]}" if different else f"pytest ended with {run.status}"
    return SuiteResult(rows, failed, run.passed, summary)


def _last_line(text: str) -> str:
    return _shorten((text.strip().splitlines() or [""])[-1].removeprefix("E ").strip())


def _shorten(error: str) -> str:
    """Return the first line of an error, without its end if it's long."""
    line = (error.strip().splitlines() or [""])[0]
    return line if len(line) <= LONGEST_REASON else f"{line[:LONGEST_REASON]} ..."
