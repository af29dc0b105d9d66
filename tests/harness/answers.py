"""The answers in tests/answers/: where they are, what they claim, and how to put one in place."""

import ast
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from workshop.course import ROOT, Step, steps

FOLDER = ROOT / "tests" / "answers"


@dataclass(frozen=True)
class Answer:
    """One answer: a file, or for a package a folder with the files that differ from the solution."""

    step: Step
    path: Path

    @property
    def right(self) -> bool:
        """Whether it must pass."""
        return self.path.name.startswith("right_")

    @property
    def docstring(self) -> str:
        """What it says of itself."""
        file = self.path / "__init__.py" if self.path.is_dir() else self.path
        return ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""

    def claim(self, label: str) -> str:
        """What stands behind `Refused by:` or `Says:` in its docstring; empty if there is none."""
        found = re.search(rf"^{label}: (.+)$", self.docstring, re.MULTILINE)
        return found[1] if found else ""

    @property
    def refused_by(self) -> list[str]:
        """The checks of which one must refuse it: one, or more where it is a matter of time which of them it meets."""
        return self.claim("Refused by").split(", ")

    def put_into(self, folder: Path) -> None:
        """Lay it into an empty folder, the way `steps/NN_name` holds the reader's answer."""
        if self.path.is_dir():
            shutil.copytree(self.step.solution / "exercise", folder / "exercise")
            shutil.copytree(self.path, folder / "exercise", dirs_exist_ok=True)
        else:
            shutil.copy(self.path, folder / "exercise.py")


def answers() -> list[Answer]:
    """Every answer of every step."""
    return [
        Answer(step, path)
        for step in steps()
        for path in sorted((FOLDER / step.name).iterdir())
        if re.match(r"(right|wrong)_\w+(\.py)?$", path.name)
    ]
