"""Copy the files that a step provides from the solution they were written for: python tests/tools/given.py

The first line of such a file names its step, as in `Step 08: ...`, or that step's solution, as in
`Step 08, solution: ...`. Run it after you have changed a solution whose files a later step has.
"""

import re
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS.parent / "notebooks")]

from workshop.course import Step, find_step, steps  # noqa: E402

SOURCE = re.compile(r'"""Step (\d\d)(, solution)?: ')
FROM = 8
"""The number of the first step that has files of other steps."""


def packages(step: Step) -> list[Path]:
    """Return the packages of a step: its lesson, its starter code and its solution."""
    return [step.folder / "app", step.folder / "exercise", step.solution / "exercise"]


def files_of(step: Step) -> list[Path]:
    """Return the Python files of a step's packages."""
    return [path for package in packages(step) for path in sorted(package.glob("*.py"))]


def source_of(path: Path) -> Path | None:
    """Return the file of a solution that a file must be a copy of; None if its first line names none.

    Raises:
        CourseError: the first line names a step that doesn't exist.
    """
    named = SOURCE.match(path.read_text("utf-8"))
    return find_step(int(named[1])).solution / "exercise" / path.name if named else None


if __name__ == "__main__":
    for step in steps()[FROM - 1 :]:
        for path in files_of(step):
            if (source := source_of(path)) and source != path:
                path.write_bytes(source.read_bytes())
