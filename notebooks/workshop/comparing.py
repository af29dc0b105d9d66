"""The worked solution next to the learner's answer, and when it's offered."""

import ast
import difflib
import hashlib
from dataclasses import dataclass
from pathlib import Path

from .course import Step, exercise_files, find_step

SAME = "Your code and the worked solution are the same."
TRIES = 3
"""The number of changed answers that fail before the solution is offered."""


@dataclass(frozen=True)
class Comparison:
    """The worked solution and its difference from the learner's answer, both without docstrings."""

    files: dict[str, str]
    """The files of the worked solution that differ from the learner's, by their paths in the course."""
    text: str
    """The unified diff from the answer to the solution; an empty string if both are the same."""

    def _repr_markdown_(self) -> str:
        if not self.text:
            return SAME
        # Use longer fences than the text can contain.
        parts = [f"**{path}**\n\n~~~~~~python\n{text}\n~~~~~~" for path, text in self.files.items()]
        parts.append(
            "<details><summary>The difference: <code>-</code> marks your lines, <code>+</code> the solution's</summary>"
            f"\n\n~~~~~~diff\n{self.text}\n~~~~~~\n\n</details>"
        )
        return "\n\n".join(parts)

    def __repr__(self) -> str:
        return self.text or SAME


def compare(step: int | str) -> Comparison:
    """Show the worked solution of a step, and below it the difference from your answer. Docstrings are left out.

    In a terminal, use `pytest --exercise N --solution` instead. It prints the difference: `-` marks your lines, `+`
    the solution's.

    Args:
        step: the step's number or folder name.

    Raises:
        CourseError: there's no such step.
    """
    found = find_step(step)
    yours, worked = _contents(found.folder), _contents(found.solution)
    lines: list[str] = []
    files = {}
    for path in sorted(yours.keys() | worked.keys()):
        before, after = (without_docstrings(each.get(path, "")) for each in (yours, worked))
        if before == after:
            continue
        names = (f"steps/{found.name}/{path}", f"solutions/{found.name}/{path}")
        lines += difflib.unified_diff(before.splitlines(), after.splitlines(), *names, lineterm="")
        if path in worked:
            files[names[1]] = after
    return Comparison(files, "\n".join(lines))


def without_docstrings(source: str) -> str:
    """Return Python code without its docstrings. Code that can't be parsed stays as it is.

    Args:
        source: the code of a module.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return source
    lines: list[str | None] = list(source.splitlines())
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        # Keep a docstring that's the whole body: without it, the rest isn't Python.
        if ast.get_docstring(node, clean=False) is None or (len(node.body) == 1 and not isinstance(node, ast.Module)):
            continue
        first, last = node.body[0].lineno, node.body[0].end_lineno or 0
        if getattr(node, "lineno", 0) == first or any(each.lineno <= last for each in node.body[1:]):
            continue
        # Remove the empty lines after it, too.
        while last < len(lines) and not (lines[last] or "").strip():
            last += 1
        lines[first - 1 : last] = [None] * (last - first + 1)
    return "\n".join(line for line in lines if line is not None).strip("\n")


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
