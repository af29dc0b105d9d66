"""What a check is, how it fails, and what the judge says in the end."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any


class Failure(AssertionError):
    """An answer did not do what was asked.

    Args:
        got: what happened.
        expect: what was asked for.
        likely: the mistake that usually causes this.
        sent: the message this is an answer to; None leaves the line out.
        after: what else had happened before; None leaves the line out.
        broken: whether there was no answer at all, so that an error in the server's log explains more.
        closed: whether the server sent a close frame, so its event loop isn't blocked.
    """

    def __init__(
        self,
        *,
        got: str,
        expect: str,
        likely: str,
        sent: str | None = None,
        after: str | None = None,
        broken: bool = False,
        closed: bool = False,
    ) -> None:
        self.closed = closed
        self.sent = sent
        self.after = after
        self.broken = broken
        self.got = got
        self.expect = expect
        self.likely = likely
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
    """Whether the server's log must stay free of tracebacks: clients leave here and nothing else goes wrong."""


def check(number: int, title: str, *, quiet: bool = True) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Mark a test of `TestExercise` as the check of a TODO.

    Args:
        number: the number of the TODO.
        title: what the answer does when it is right, as the end of the sentence "The answer ...".
        quiet: whether a traceback in the server's log fails the check.
    """

    def mark(function: Callable[..., Any]) -> Callable[..., Any]:
        function.check = (number, title, quiet)  # type: ignore[attr-defined]
        return function

    return mark


def checks_of(suite: type) -> list[Check]:
    """Return the checks of a `TestExercise`, sorted by the numbers of their TODOs.

    The checks of one TODO are in one class, and keep the order in which they are written there.
    """
    instance = suite()
    found = []
    for name in dict.fromkeys(name for base in reversed(suite.__mro__) for name in vars(base)):
        if mark := getattr(getattr(suite, name), "check", None):
            number, title, quiet = mark
            found.append(Check(number, title, name, getattr(instance, name), quiet))
    return sorted(found, key=lambda each: each.number)


@dataclass
class Verdict:
    """What the judge says about an answer."""

    step: str
    checks: list[Check]
    failed: Check | None = None
    """The first check that failed; None if all passed."""
    explanation: list[tuple[str, str]] = field(default_factory=list)
    """Of that failure: a label and a text each."""
    reached: int | None = None
    """How many checks have passed so far, while the judge is still at work; None when it has ended."""

    def state(self, check: Check) -> str:
        """`passed`, `failed`, `running` or `not run`: what comes after the first failure is not judged."""
        position = self.checks.index(check)
        if self.reached is not None:
            return "passed" if position < self.reached else "running" if position == self.reached else "not run"
        if self.failed is None:
            return "passed"
        stop = self.checks.index(self.failed)
        return "passed" if position < stop else "failed" if position == stop else "not run"

    @property
    def passed(self) -> bool:
        """Whether the judge has ended and found nothing."""
        return self.reached is None and self.failed is None

    @property
    def count(self) -> str:
        """How many checks passed, such as `3 of 6 checks`."""
        return f"{sum(self.state(check) == 'passed' for check in self.checks)} of {len(self.checks)} checks"

    def as_dict(self) -> dict[str, object]:
        """The verdict for a notebook, as values that JSON knows."""
        return {
            "step": self.step,
            "running": self.reached is not None,
            "checks": [
                {"number": check.number, "title": check.title, "state": self.state(check)} for check in self.checks
            ],
            "explanation": self.explanation,
            "text": str(self),
        }

    def __str__(self) -> str:
        heading = re.sub("_", " ", self.step)
        lines = [f"{'Step ' + heading:<50}{self.count}"]
        for check in self.checks:
            mark = {"passed": "✓", "failed": "✗", "running": "▸", "not run": "·"}[self.state(check)]
            lines.append(f"  {mark} {check.number}  {check.title}")
            if check is self.failed:
                for label, text in self.explanation:
                    first, *more = text.splitlines() or [""]
                    lines.append(f"       {label:<9}{first}")
                    lines += [" " * 16 + line for line in more]
        return "\n".join(lines)
