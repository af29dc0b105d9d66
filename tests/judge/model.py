"""Checks, their failures, and the verdict of the judge."""

import re
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

NOT_ON_WINDOWS = " (not judged on Windows)" * (sys.platform == "win32")
"""The suffix for the title of a check that needs what Windows lacks: a size limit for files."""


@dataclass(frozen=True)
class Likely:
    """The likely causes of a failure, by what the client received. Each is a cause in your code, then a fix."""

    silence: str
    """No message was received."""
    wrong: str = ""
    """Another message was received, and comparing it with the expected one explains nothing. By default `silence`."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """By key: only this value differs from the expected object."""
    surplus: str = ""
    """One message too many was received after the action before."""
    replayed: str = "A newcomer gets messages from before its handshake. Send only what is received from then on."
    """The client received a message that another client had sent before this one connected."""
    closed: str = ""
    """The connection was closed. By default `silence`, or a sentence that the endpoint has returned."""
    elsewhere: str = ""
    """The expected message was received on another connection."""
    order: str = ""
    """A later message was received before the expected one."""
    certain: bool = False
    """Whether the check has set up a situation that explains more than an error in the log."""


class Failure(AssertionError):
    """A failed check: the observed result isn't the expected one.

    Args:
        got: the observed result.
        expect: the expected result.
        likely: the mistake that usually causes this; an empty string leaves the line out.
        sent: the message that the server should answer; None leaves the line out.
        after: the earlier events of the check; None leaves the line out.
        passed: the similar results that the same check has accepted before; None leaves the line out.
        broken: whether there was no answer at all, so an error in the server's log explains more.
        closed: whether the server sent a close frame, so its event loop isn't blocked.
        number: the TODO that the cause belongs to, if it isn't that of the check.
        certain: whether the check explains more than an error in the server's log.
    """

    def __init__(
        self,
        *,
        got: str,
        expect: str,
        likely: str,
        sent: str | None = None,
        after: str | None = None,
        passed: str | None = None,
        broken: bool = False,
        closed: bool = False,
        number: int | None = None,
        certain: bool = False,
    ) -> None:
        self.certain = certain
        self.closed = closed
        self.sent = sent
        self.after = after
        self.passed = passed
        self.broken = broken
        self.got = got
        self.expect = expect
        self.likely = likely
        self.number = number
        super().__init__(f"got {got}, expected {expect}. Likely: {likely}")


@dataclass(frozen=True)
class Check:
    """One check of an exercise."""

    number: int
    """The number of the TODO it belongs to."""
    title: str
    name: str
    run: Callable[..., Awaitable[None]]
    quiet: bool
    """Whether a traceback in the server's log fails the check: its clients disconnect, and cause no other error."""
    hard: bool = False
    """Whether it's a hard case: it runs when all required checks are green, and an answer is right without it."""
    pauses: bool = False
    """Whether one of its clients pauses for a second. It starts before the others, which run during the pause."""


def check(
    number: int, title: str, *, quiet: bool = True, hard: bool = False, pauses: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Mark a test of `TestExercise` as the check of a TODO.

    Args:
        number: the number of the TODO.
        title: the behavior of a right answer, as the end of the sentence "The answer ...".
        quiet: whether a traceback in the server's log fails the check.
        hard: whether it's a hard case; see `Check.hard`.
        pauses: whether it calls `conversation.pause`; see `Check.pauses`.
    """

    def mark(function: Callable[..., Any]) -> Callable[..., Any]:
        function.check = (number, title, quiet, hard, pauses)  # type: ignore[attr-defined]
        return function

    return mark


def checks_of(suite: type) -> list[Check]:
    """Return the checks of a `TestExercise`: the required ones, then the hard cases, both by their TODOs' numbers.

    The checks of one TODO keep their order in the class. If they're in several classes, those of a later base are
    first.
    """
    instance = suite()
    found = []
    for name in dict.fromkeys(name for base in reversed(suite.__mro__) for name in vars(base)):
        if mark := getattr(getattr(suite, name), "check", None):
            number, title, *options = mark
            found.append(Check(number, title, name, getattr(instance, name), *options))
    return sorted(found, key=lambda each: (each.hard, each.number))


Explanation = list[tuple[str, str]]
"""The lines that explain a failure: a label and a text each."""
MARKS = {"passed": "✓", "failed": "✗", "running": "▸", "not run": "·"}


@dataclass
class HardCases:
    """The results of the hard cases of a step, which run when its required checks are green."""

    checks: list[Check]
    failed: dict[str, Explanation] | None = None
    """The explanations of the failed ones, by the name of the check; None while they run."""

    def state(self, check: Check) -> str:
        """Return `passed`, `failed` or `running`."""
        return "running" if self.failed is None else "failed" if check.name in self.failed else "passed"

    @property
    def first_failed(self) -> Check | None:
        """The first hard case that failed: only this one is explained."""
        return next((check for check in self.checks if self.state(check) == "failed"), None)

    @property
    def explanation(self) -> Explanation:
        """The explanation of the first hard case that failed."""
        first = self.first_failed
        return self.failed[first.name] if self.failed and first else []

    @property
    def count(self) -> str:
        """The number of hard cases that passed, such as `2 of 5 hard cases`."""
        if self.failed is None:
            return "hard cases are running"
        return f"{len(self.checks) - len(self.failed)} of {len(self.checks)} hard cases"

    def __str__(self) -> str:
        lines = [f"{'Hard cases, once all is green':<50}{self.count}"]
        for check in self.checks:
            lines += lines_of(check, self.state(check), self.explanation if check is self.first_failed else [])
        return "\n".join(lines)


@dataclass
class Verdict:
    """The verdict on an answer."""

    step: str
    checks: list[Check]
    """The required checks."""
    failed: Check | None = None
    """The first check that failed; None if all passed."""
    explanation: Explanation = field(default_factory=list)
    """The explanation of that failure."""
    reached: int | None = None
    """The number of checks that have passed so far; None when the judge has ended."""
    doing: str = ""
    """What the running check does, such as `right servers: 7 of 9`; empty if it doesn't report that."""
    hard: HardCases | None = None
    """The hard cases; None if the step has none, or if they aren't run."""

    def state(self, check: Check) -> str:
        """Return `passed`, `failed`, `running` or `not run`: checks after the first failure aren't judged."""
        if check.hard:
            return self.hard.state(check) if self.hard else "not run"
        position = self.checks.index(check)
        if self.reached is not None:
            return "passed" if position < self.reached else "running" if position == self.reached else "not run"
        if self.failed is None:
            return "passed"
        stop = self.checks.index(self.failed)
        return "passed" if position < stop else "failed" if position == stop else "not run"

    def title(self, check: Check) -> str:
        """Return the title of a check, with what it does if it's the running one."""
        running = self.doing and self.state(check) == "running"
        return f"{check.title} ({self.doing})" if running else check.title

    @property
    def passed(self) -> bool:
        """Whether all required checks have run and passed."""
        return self.reached is None and self.failed is None

    @property
    def count(self) -> str:
        """The number of required checks that passed, such as `3 of 6 checks`."""
        return f"{self.passed_count} of {len(self.checks)} checks"

    @property
    def passed_count(self) -> int:
        """The number of required checks that passed."""
        return sum(self.state(check) == "passed" for check in self.checks)

    def as_dict(self) -> dict[str, object]:
        """Return the verdict for a notebook, as values that JSON can encode."""
        return {
            "step": self.step,
            "running": self.reached is not None,
            "checks": [
                {"number": check.number, "title": self.title(check), "state": self.state(check)}
                for check in self.checks
            ],
            "explanation": self.explanation,
            "hard": self.hard
            and {
                "count": self.hard.count,
                "running": self.hard.failed is None,
                "checks": [
                    {"number": check.number, "title": check.title, "state": self.hard.state(check)}
                    for check in self.hard.checks
                ],
                "explanation": self.hard.explanation,
            },
            "text": f"{self}\n{self.hard}" if self.hard else str(self),
        }

    def __str__(self) -> str:
        heading = re.sub("_", " ", self.step)
        lines = [f"{'Step ' + heading:<50}{self.count}"]
        for check in self.checks:
            explanation = self.explanation if check is self.failed else []
            lines += lines_of(replace(check, title=self.title(check)), self.state(check), explanation)
        return "\n".join(lines)


def lines_of(check: Check, state: str, explanation: Explanation) -> list[str]:
    """Return the lines that a terminal shows for a check.

    Args:
        check: the check.
        state: its state, such as `passed`.
        explanation: the explanation of its failure; empty for none.
    """
    lines = [f"  {MARKS[state]} {check.number}  {check.title}"]
    for label, text in explanation:
        first, *more = text.splitlines() or [""]
        lines.append(f"       {label:<9}{first}")
        lines += [" " * 16 + line for line in more]
    return lines
