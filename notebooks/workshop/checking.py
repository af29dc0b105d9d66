"""`check`: run the checks of a step from a notebook, now and at every save. `progress`: an overview of all steps."""

import atexit
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .card import as_html, as_text, folded_solution, hints_for, old_note, overview, steps_so_far
from .comparing import Tries, compare
from .course import CourseError, Step, find_step, steps
from .output import Output
from .predictions import tally
from .process import end, start_module

WAITS = (
    "The checks are running. The one with the mark ▸ still waits for a message. If that message never arrives, a run "
    "can take half a minute."
)
_followers: dict[str, "Follower"] = {}
_tries: dict[str, Tries] = {}


def check(step: int | str, *, live: bool = True, seconds: float = 600) -> None:
    """Run the checks on your answer to a step, and show a card with the results. It's updated at every save.

    Below the card, you get the hints for the first failure. When all checks pass, or after three different answers,
    you can open the worked solution there too. In a terminal, use `pytest --exercise N --watch` instead.

    Args:
        step: the step's number or folder name.
        live: whether the card is updated at every save. Updates end with the kernel, or when you run the cell again.
        seconds: the longest wait for the first verdict, in seconds.

    Raises:
        CourseError: there's no such step, or the checks themselves failed to run.
    """
    found = find_step(step)
    if before := _followers.pop(found.name, None):
        before.stop()
    follower = Follower(found, live)
    if live:
        _followers[found.name] = follower
    try:
        follower.wait(seconds)
    except BaseException:
        follower.stop()
        raise
    if not live:
        follower.stop()


def progress(*, seconds: float = 600) -> None:
    """Run the checks on your answers to all steps, and show a row for each step, with your guesses.

    In a terminal, use `pytest --exercise` instead.

    Args:
        seconds: the longest wait for all steps together, in seconds.

    Raises:
        CourseError: the checks themselves failed to run.
    """
    seen: dict[str, dict[str, Any]] = {}
    display = Output(overview(seen), "")
    process = start_module("pytest", ["--exercise", "--events"])
    limit = threading.Timer(seconds, end, [process])
    limit.start()
    other: list[str] = []
    try:
        for event in _events(process.stdout, other):
            seen[event["step"]] = event
            display.show(overview(seen), _line(seen))
    finally:
        limit.cancel()
        end(process)
    if len(seen) < len(steps()) or any(event["running"] for event in seen.values()):
        raise CourseError(_did_not_finish(other))


@atexit.register
def _end_followers() -> None:
    """End the checks with the kernel, and mark the results as old. JupyterLab marks them itself: see old_results.js."""
    for follower in _followers.values():
        follower.stop()


class Follower:
    """A card with the results of a process that runs the checks, updated in place."""

    def __init__(self, step: Step, live: bool) -> None:
        self._step = step
        self._live = live
        self._tries = _tries.setdefault(step.name, Tries(step))
        self._judged = threading.Event()
        self._over = threading.Event()
        self._other: list[str] = []
        self._verdicts = 0
        self._cell = f"check({step.number})"
        if live:
            Output(old_note(self._cell, kernel_id()), f"After a restart of the kernel, run {self._cell} again.")
        self._card = Output("<p>The checks are starting.</p>", "The checks are starting.")
        # Separate outputs: when one of them changes, what you have opened in the other one stays open.
        self._hints = Output(None, "")
        self._solution = Output(None, "")
        arguments = ["--exercise", str(step.number), "--events", *(["--watch"] if live else [])]
        self._process = start_module("pytest", arguments)
        threading.Thread(target=self._follow, daemon=True).start()

    def wait(self, seconds: float) -> None:
        """Wait for the first verdict.

        Args:
            seconds: the longest wait, in seconds.

        Raises:
            CourseError: no verdict arrives in that time.
        """
        self._judged.wait(seconds)
        if not self._verdicts:
            raise CourseError(_did_not_finish(self._other))

    def stop(self) -> None:
        """End the process. The card stays, with a note that it's no longer updated."""
        end(self._process)
        self._over.wait(2)

    def _follow(self) -> None:
        event, hard_cases_run = None, False
        try:
            for event in _events(self._process.stdout, self._other):
                if event["running"]:
                    # Expect a new verdict: a save during the hard cases ends them.
                    hard_cases_run = False
                    self._draw(event, WAITS)
                    continue
                # Count a green verdict once: it arrives again with the hard cases.
                if not hard_cases_run:
                    self._verdicts += 1
                hard_cases_run = bool(event["hard"]) and event["hard"]["running"]
                self._show_verdict(event)
                if self._live or not hard_cases_run:
                    self._judged.set()
            if self._live and event is not None:
                self._draw(event, f"These results are old. To check your files again, run this cell: {self._cell}.")
        finally:
            end(self._process)
            self._over.set()
            self._judged.set()

    def _show_verdict(self, event: dict[str, Any]) -> None:
        passed = all(check["state"] == "passed" for check in event["checks"])
        self._hints.show(None, hints_for(self._step, event))
        if self._tries.offer(passed):
            self._solution.show(None, folded_solution(compare(self._step.name)))
        note = f"Verdict {self._verdicts}, {time.strftime('%H:%M:%S')}."
        if self._live:
            note += (
                f" While this notebook's kernel runs, the checks run again each time you save a file in "
                f"steps/{self._step.name}. After a restart of the kernel, run this cell again: {self._cell}."
            )
        if others := steps_so_far():
            note += f" All steps so far: {others}."
        self._draw(event, note)

    def _draw(self, event: dict[str, Any], note: str) -> None:
        self._card.show(as_html(event, note), as_text(event, note))


def kernel_id() -> str:
    """Return the id of this kernel, or an empty string outside one."""
    try:
        from ipykernel import get_connection_file

        return Path(get_connection_file()).stem.removeprefix("kernel-")
    except (ImportError, RuntimeError):
        return ""


def _events(lines: Any, other: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the verdicts among the lines that a process prints, and append the other lines to `other`."""
    for raw in lines:
        line = raw.decode("utf-8", "replace")
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if isinstance(event, dict) and "checks" in event:
            yield event
        else:
            other.append(line)


def _did_not_finish(other: list[str]) -> str:
    return f"The checks did not finish. They printed:\n{''.join(other)}"


def _line(seen: dict[str, dict[str, Any]]) -> str:
    lines = ((event["text"].splitlines()[0], tally(find_step(step))) for step, event in seen.items())
    return "\n".join(f"{line}   {guesses}".rstrip() for line, guesses in lines)
