"""The reader's answer beside the worked solution: the difference, and when it is offered."""

import difflib
import hashlib
from dataclasses import dataclass
from pathlib import Path

from .course import Step, exercise_files, find_step

SAME = "Your answer and the worked solution are the same."
TRIES = 3
"""So many changed answers that did not pass, and the solution is offered."""


def difference(step: Step) -> str:
    """What has to change in the reader's answer to become the worked solution, as a unified diff.

    Args:
        step: the step.

    Returns:
        The empty text if both are the same.
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
    """A difference that a notebook shows with colours."""

    text: str
    """As a unified diff; empty if there is none."""

    def _repr_markdown_(self) -> str:
        # A longer fence than any that the text can hold.
        return f"~~~~~~diff\n{self.text}\n~~~~~~" if self.text else SAME

    def __repr__(self) -> str:
        return self.text or SAME


def compare(step: int | str) -> Comparison:
    """Your answer to a step beside the worked solution: `-` stands before your lines, `+` before the solution's.

    The same as `pytest --exercise N --solution` in a terminal.

    Args:
        step: the step's number or folder name.

    Raises:
        CourseError: there is no such step.
    """
    return Comparison(difference(find_step(step)))


class Tries:
    """Counts the different answers that did not pass."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._seen: set[str] = set()

    def offer(self, passed: bool) -> bool:
        """Note a verdict on the answer as it is now, and say whether it is time to offer the solution."""
        if not passed:
            contents = repr(sorted(_contents(self._step.folder).items()))
            self._seen.add(hashlib.sha256(contents.encode("utf-8", "replace")).hexdigest())
        # The first answer is where the reader begins, usually the file as it came.
        return passed or len(self._seen) > TRIES


def _contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text("utf-8", "replace")
        for path in exercise_files(folder)
        if path.exists()
    }
