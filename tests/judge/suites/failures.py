"""What a failed check of a suite shows: the run, the test, and the likely cause."""

import re

from workshop.suites import Outcome, Run, unit_of

from ..model import Failure

LONGEST = 400
"""The largest number of characters of an error that a message shows."""
LONGEST_LINE = 120
LEAVES_NOTHING = 3
"""The number of the TODO after which a run leaves no process and no file."""
CAUSES = {
    r"different (?:event )?loop|attached to a different|Event loop is closed": (
        "A connection, a task or a lock belongs to the event loop in which it was made, and each coroutine test has a "
        "loop of its own. Connect in the test itself, not in a fixture with a wider scope."
    ),
    r"async def functions are not natively supported|coroutine .* was never awaited": (
        "pytest doesn't run a coroutine by itself. Mark the tests with pytest.mark.anyio, for example with "
        "pytestmark = pytest.mark.anyio at the top of the file."
    ),
    r"fixture '(\w+)' not found": (
        "A test has a parameter without a fixture of that name. Define the fixture in conftest.py, or correct the name."
    ),
    r"address already in use|Errno 98|Errno 48|WinError 10048": (
        "The port is in use, so your fixture doesn't let the system choose a free one. Use --port 0, or bind a socket "
        "to port 0 first and pass its port."
    ),
    r"ConnectionRefused|Connect call failed|All connection attempts failed|Errno 111": (
        "A test connects where no server listens. Your fixture must start the server, wait until it listens, and "
        "return its port."
    ),
}
"""By a part of an error: its cause in the suite, and the fix."""


class SuiteFailure(Failure):
    """A failed check of a suite.

    Args:
        ran: what ran, such as "your tests on a server that ...".
        got: the observed result.
        expect: the expected result.
        likely: the mistake that usually causes this; an empty string leaves the line out.
        test: the file and the line of the test; an empty string leaves the line out.
        printed: the last lines of the run's output; an empty string leaves the line out.
        in_order: whether the order of the tests may matter, so that the seed is shown.
        todo: the number of the TODO to which the mistake belongs; 0 for that of the check.
    """

    def __init__(
        self,
        *,
        ran: str,
        got: str,
        expect: str,
        likely: str = "",
        test: str = "",
        printed: str = "",
        in_order: bool = False,
        todo: int = 0,
    ) -> None:
        super().__init__(got=got, expect=expect, likely=likely, sent=ran)
        self.test = test
        self.printed = printed
        self.in_order = in_order
        self.todo = todo


def short(test: str) -> str:
    """Return the name of a test without its file."""
    return test.partition("::")[2] or test


def error_of(outcome: Outcome) -> str:
    """Return the error of a failed test, in a few lines."""
    text = outcome.error.strip()
    # pytest explains a comparison in the lines below; the first ones show what was compared.
    lines = [line[:LONGEST_LINE] for line in text.splitlines() if line.strip()][:4]
    shown = "\n".join(lines)
    return shown if len(shown) <= LONGEST else shown[:LONGEST] + " ..."


def place_of(outcome: Outcome) -> str:
    """Return the place of a failed test, such as `exercise/test_rooms.py:31`; empty if it isn't known."""
    found = re.findall(r"^(exercise[/\\]\S+?\.py):(\d+):", outcome.traceback, re.MULTILINE)
    return "{}:{}".format(*found[-1]).replace("\\", "/") if found else ""


def describe(outcome: Outcome) -> str:
    """Return one sentence about a failed phase of a test, with its error."""
    phase = {"setup": "the setup of ", "teardown": "the teardown of "}.get(outcome.phase, "")
    return f"{phase}{short(outcome.test)} failed: {error_of(outcome)}"


def cause_of(outcome: Outcome) -> str:
    """Return the cause that an error names, or an empty string."""
    text = f"{outcome.error}\n{outcome.traceback[-2_000:]}"
    return next((cause for sign, cause in CAUSES.items() if re.search(sign, text)), "")


def end_of(run: Run, lines: int = 6) -> str:
    """Return the last lines that a run has printed, without empty ones."""
    printed = [line.rstrip() for line in run.output.splitlines() if line.strip()]
    return "\n".join(line[:LONGEST_LINE] for line in printed[-lines:])


def first_failure(run: Run, ran: str, expect: str, likely: str = "") -> SuiteFailure:
    """Return a failure that shows the first failed test of a run, or why no test ran.

    Args:
        run: a run that didn't pass.
        ran: what ran.
        expect: the expected result.
        likely: the cause, if the error itself doesn't name one.
    """
    if run.broken:
        file, traceback = run.broken[0]
        lines = [line for line in traceback.splitlines() if line.startswith("E ")] or traceback.splitlines()[-1:]
        error = lines[-1].removeprefix("E").strip() if lines else ""
        return SuiteFailure(ran=ran, got=f"{file} can't be imported: {error}", expect=expect, likely=likely)
    if run.failures:
        failed = run.failures[0]
        cause = cause_of(failed) or likely
        return SuiteFailure(ran=ran, got=describe(failed), expect=expect, likely=cause, test=place_of(failed))
    if run.timed_out:
        where = f" {short(run.running)} was still running." if run.running else ""
        hangs = (
            "A wait in this test, or in a fixture, has no deadline, or many waits in a row take too long. Give each "
            "wait a deadline, such as asyncio.timeout(2), and limit their number."
        )
        got = f"no end within {run.plan.seconds:g} s.{where}"
        return SuiteFailure(ran=ran, got=got, expect=expect, likely=hangs)
    if not run.units:
        none = "pytest collects functions whose names begin with test_, in files whose names begin with test_."
        return SuiteFailure(ran=ran, got="no tests", expect=expect, likely=none, printed=end_of(run))
    return SuiteFailure(
        ran=ran, got=f"pytest's exit status {run.status}", expect=expect, likely=likely, printed=end_of(run)
    )


def names(units: list[str] | set[str]) -> str:
    """Return the names of test functions as a list in a sentence."""
    return ", ".join(short(unit_of(unit)) for unit in sorted(units)) or "no test"


def nothing_left(run: Run, ran: str, likely: str = "") -> None:
    """Check that a run has left no process and no file.

    Args:
        run: a run that has ended by itself.
        ran: what ran.
        likely: the cause of a process that's left, if it's known.

    Raises:
        SuiteFailure: the run has left one.
    """
    expect = "no process and no file that the run has started or written"
    if run.left:
        likely = likely or (
            "Your fixture doesn't end the server in every case, or ends only the parent of it. End it in finally, and "
            "start Python itself, without a shell or --reload, so that the process that you end is the server."
        )
        count = "1 process is" if len(run.left) == 1 else f"{len(run.left)} processes are"
        got = "\n".join([f"{count} left:", *(command[:LONGEST_LINE] for command in run.left[:3])])
        raise SuiteFailure(ran=ran, got=got, expect=expect, likely=likely, todo=LEAVES_NOTHING)
    if run.files:
        likely = "A file of the run stays. Use tempfile.TemporaryFile() or pytest's tmp_path for it."
        got = f"the file {run.files[0]} is left"
        raise SuiteFailure(ran=ran, got=got, expect=expect, likely=likely, todo=LEAVES_NOTHING)
