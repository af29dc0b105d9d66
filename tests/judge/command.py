"""Run `pytest --exercise`: judge an answer once or at each save, or judge all answers."""

import asyncio
import json
import shutil
import sys
from collections.abc import Callable

from workshop.comparing import Tries
from workshop.course import Step, steps
from workshop.record import store
from workshop.server import Server

from .judges import judge_of
from .model import Verdict
from .tasks import spawn
from .watch import PATIENT, SHORT, watch

AT_A_TIME = 2
"""Number of answers to judge at the same time, when all are judged."""
CLEAR = "\x1b[2J\x1b[H"
CLEAR_LINE = "\r\x1b[2K"


def judge_once(step: Step, first: Server | None, events: bool, seed: int | None = None) -> bool:
    """Judge the learner's answer to a step and print the verdict, then the hard cases if it's green.

    Args:
        step: the step.
        first: a running server of that answer; None if it's a test suite.
        events: whether to print the verdicts as lines of JSON, including incomplete ones.
        seed: the seed of the run; by default, a random one.

    Returns:
        Whether every required check passed.
    """
    progress = Progress()
    show = print_event if events else progress if step.is_suite else print_green
    judge = judge_of(step, step.folder, first=first, short=SHORT, patient=PATIENT, seed=seed, on_progress=show)
    verdict = judge.run()
    progress.clear()
    record(verdict)
    if events:
        show(verdict)
    else:
        # The green verdict is printed already, because the hard cases take longer.
        print(verdict.hard or verdict)
    return verdict.passed


def judge_at_each_save(step: Step, first: Server | None, events: bool) -> None:
    """Judge the learner's answer to a step now and after each save, until an interrupt.

    Args:
        step: the step.
        first: a running server of that answer; None if it's a test suite.
        events: whether to print lines of JSON.
    """
    show = print_event if events else Screen(step)

    def record_and_show(verdict: Verdict) -> None:
        record(verdict)
        show(verdict)

    try:
        asyncio.run(watch(step, first, record_and_show))
    except KeyboardInterrupt:
        pass  # Ctrl+C is how the learner ends this.


def judge_all(events: bool) -> bool:
    """Judge the learner's answers to all steps and print a line for each.

    Args:
        events: whether to print lines of JSON.

    Returns:
        Whether every check of every step passed.
    """
    return asyncio.run(_judge_all(print_event if events else print_nothing, print_event if events else print_line))


async def _judge_all(on_progress: Callable[[Verdict], object], show: Callable[[Verdict], object]) -> bool:
    turn = asyncio.Semaphore(AT_A_TIME)

    async def one(step: Step) -> Verdict:
        async with turn:
            judge = judge_of(step, step.folder, short=SHORT, patient=PATIENT, on_progress=on_progress)
            return await judge.judge()

    passed = True
    # Show the verdicts in the order of the steps, not in the order in which they end.
    for task in [spawn(one(step)) for step in steps()]:
        verdict = await task
        show(verdict)
        passed = passed and verdict.passed
    return passed


def record(verdict: Verdict) -> None:
    """Store a verdict if it's complete. JupyterLab then opens its step first.

    Args:
        verdict: a verdict on one answer. One on all answers doesn't show which step the learner is at.
    """
    if verdict.reached is None:
        store(verdict.step, verdict.passed_count, len(verdict.checks))


class Screen:
    """The terminal output for an answer that's judged at each save."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._tries = Tries(step)
        self._redraws = sys.stdout.isatty()

    def __call__(self, verdict: Verdict) -> None:
        """Show a verdict; on a terminal, it replaces the previous one."""
        complete = verdict.reached is None and not (verdict.hard and verdict.hard.failed is None)
        if not complete and not self._redraws:
            return
        lines = [str(verdict), *([str(verdict.hard)] if verdict.hard else []), ""]
        if complete:
            lines.append(f"Save a file in steps/{self._step.name}, and it is judged again. Ctrl+C ends this.")
            if self._tries.offer(verdict.passed):
                lines.append(f"The worked solution next to yours: pytest --exercise {self._step.number} --solution")
        print((CLEAR if self._redraws else "") + "\n".join(lines), flush=True)


class Progress:
    """Print the green verdict as `print_green` does, and until then a line about the running check on standard error.

    On a terminal, each line replaces the one before. Elsewhere, there's one for each check.
    """

    def __init__(self) -> None:
        self._redraws = sys.stderr.isatty()
        self._last = ""

    def __call__(self, verdict: Verdict) -> None:
        """Show the running check of an incomplete verdict, or a green verdict."""
        if verdict.reached is None:
            self.clear()
            print_green(verdict)
            return
        check = verdict.checks[verdict.reached]
        line = f"{verdict.count}, running: {check.number} {verdict.title(check) if self._redraws else check.title}"
        if line != self._last:
            self.clear()
            width = shutil.get_terminal_size().columns - 1
            print(
                line[:width] if self._redraws else line, end="" if self._redraws else "\n", file=sys.stderr, flush=True
            )
            self._last = line

    def clear(self) -> None:
        """Remove the line from a terminal."""
        if self._redraws and self._last:
            print(CLEAR_LINE, end="", file=sys.stderr, flush=True)
            self._last = ""


def print_event(verdict: Verdict) -> None:
    """Print a verdict as one line of JSON, for a program."""
    print(json.dumps(verdict.as_dict()), flush=True)


def print_nothing(verdict: Verdict) -> None:
    """Ignore an incomplete verdict."""


def print_green(verdict: Verdict) -> None:
    """Print the green verdict before the hard cases run, and ignore incomplete verdicts."""
    if verdict.passed:
        print(verdict, flush=True)


def print_line(verdict: Verdict) -> None:
    """Print the name of a step, the number of checks that pass, and the next check."""
    name = verdict.step.replace("_", " ")
    following = f"next: {verdict.failed.number} {verdict.failed.title}" if verdict.failed else "done"
    if verdict.hard:
        following += f", {verdict.hard.count}"
    print(f"{name:<20}{verdict.count:<18}{following}", flush=True)
