"""The difference between the learner's answer and the worked solution, and when the solution is offered."""

import difflib
import hashlib
from dataclasses import dataclass
from pathlib import Path

from .course import Step, exercise_files, find_step

SAME = "Your code and the worked solution are the same."
TRIES = 3
"""The number of changed answers that fail before the solution is offered."""


def difference(step: Step) -> str:
    """Return the unified diff from the learner's answer to the worked solution.

    Args:
        step: the step.

    Returns:
        The diff, or an empty string if both are the same.
    """
    yours, worked = _contents(step.folder), _contents(step.solution)
    lines: list[str] = []
    for path in sorted(yours.keys() | worked.keys()):
        names = (f"steps/{step.name}/{path}", f"solutions/{step.name}/{path}")
        before, after = (each.get(path, "").splitlines() for each in (yours, worked))
        lines += difflib.unified_diff(before, after, *names, lineterm="")
    return "\n".join(lines)


@dataclass(frozen=True)
class Comparison:
    """A diff that a notebook shows with colors."""

    text: str
    """The unified diff, or an empty string if both are the same."""

    def _repr_markdown_(self) -> str:
        # Use a longer fence than the text can contain.
        return f"~~~~~~diff\n{self.text}\n~~~~~~" if self.text else SAME

    def __repr__(self) -> str:
        return self.text or SAME


def compare(step: int | str) -> Comparison:
    """Compare your answer to a step with the worked solution: `-` marks your lines, `+` the solution's.

    In a terminal, use `pytest --exercise N --solution` instead.

    Args:
        step: the step's number or folder name.

    Raises:
        CourseError: there's no such step.
    """
    return Comparison(difference(find_step(step)))


class Tries:
    """A counter of the different answers that failed."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._seen: set[str] = set()

    def offer(self, passed: bool) -> bool:
        """Count the current answer if it failed, and return whether to offer the solution."""
        if not passed:
            contents = repr(sorted(_contents(self._step.folder).items()))
            self._seen.add(hashlib.sha256(contents.encode("utf-8", "replace")).hexdigest())
        # Allow one more: the first answer is usually the starter code.
        return passed or len(self._seen) > TRIES


def _contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text("utf-8", "replace")
        for path in exercise_files(folder)
        if path.exists()
    }
