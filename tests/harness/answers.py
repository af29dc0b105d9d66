"""The answers in tests/answers/: what each header claims, and the files.

An answer that changes little is a unified diff against the worked solution, or against a right answer that it names.
Above the diff are a title and labels:

    The name is compared without its case.

    Base: right_by_hand
    Refused by: test_name
    Says: Ada and ada are two members

    --- a/exercise.py
    +++ b/exercise.py
    @@ -10,7 +10,7 @@

- `Base` names the right answer that the diff changes; it's left out for the worked solution.
- `Refused by` names the check that must refuse the answer, or `starts` if it can't start. Separate several with a comma
  and a space, if timing decides which of them finds the mistake. `Says` is a part of that check's message.
- `Hard case` replaces `Refused by` for a mistake that the required checks accept: it names the hard case that must fail
  first. A wrong answer is refused by one ring or by the other.
- `Breaks` is the sentence of Make that the mistake breaks, with the number of its TODO.
- `Long because` is the reason for a diff that's longer than a screen.

A right answer that's written in another way is whole: a file, or for a package a folder with the files that differ from
the solution. Its docstring is its title.
"""

import ast
import difflib
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from unipatch import PatchError, apply_patch
from workshop.course import ROOT, CourseError, Step, exercise_files, steps

Files = dict[str, str]
"""The text of each file of an answer, by its path below the step's folder, such as `exercise/main.py`."""
HARD = "Hard case"
"""The label of a mistake that only a hard case refuses."""
RINGS = ("Refused by", HARD)
"""The labels of which a wrong answer has exactly one."""
LABELS = ("Base", "Refused by", HARD, "Says", "Breaks", "Long because")
"""The labels of a header, in their order."""
NOWHERE = "/dev/null"
"""The name in a diff for a file that's missing on one side."""
HEADER = re.compile(r"^--- (?:a/)?(.+)\n\+\+\+ (?:b/)?(.+)\n", re.MULTILINE)


@dataclass(frozen=True)
class Answer:
    """One answer: a diff, a file, or for a package a folder with the files that differ from the solution."""

    step: Step
    path: Path

    @property
    def right(self) -> bool:
        """Whether the answer must pass."""
        return self.path.name.startswith("right_")

    @property
    def is_diff(self) -> bool:
        """Whether it's stored as a diff."""
        return self.path.suffix == ".diff"

    @property
    def name(self) -> str:
        """The step's folder and its own name, such as `02_echo/right_match`."""
        return f"{self.step.name}/{self.path.stem}"

    @cached_property
    def _parts(self) -> tuple[str, str]:
        if not self.is_diff:
            file = self.path / "__init__.py" if self.path.is_dir() else self.path
            return ast.get_docstring(ast.parse(file.read_text("utf-8"))) or "", ""
        text = self.path.read_text("utf-8")
        start = HEADER.search(text)
        return (text, "") if start is None else (text[: start.start()].strip(), text[start.start() :])

    @property
    def header(self) -> str:
        """The text above the diff, or the docstring: the title, and below it the labels."""
        return self._parts[0]

    @property
    def diff(self) -> str:
        """The diff below the header; empty if the answer is whole."""
        return self._parts[1]

    @property
    def title(self) -> str:
        """The first paragraph of the header, in one line."""
        return " ".join(self.header.split("\n\n")[0].split())

    def claim(self, label: str) -> str:
        """Return the text behind a label such as `Refused by`; empty if the header lacks the label."""
        found = re.search(rf"^{label}: (.+)$", self.header, re.MULTILINE)
        return found[1] if found else ""

    @property
    def claims(self) -> dict[str, str]:
        """The texts of the header, by their labels.

        Raises:
            CourseError: the header has something else below its title.
        """
        for line in self.header.partition("\n\n")[2].splitlines():
            if line and not re.match(rf"({'|'.join(LABELS)}): \S", line):
                raise CourseError(
                    f"{self.name} has the line {line!r} in its header; the labels are {', '.join(LABELS)}."
                )
        return {label: text for label in LABELS if (text := self.claim(label))}

    @property
    def refused_by(self) -> list[str]:
        """The checks of which one must refuse it: several if timing decides which of them it meets first."""
        return self.claim("Refused by").split(", ") if self.claim("Refused by") else []

    @property
    def hard_cases(self) -> list[str]:
        """The hard cases of which one must refuse it, if all required checks accept it."""
        return self.claim(HARD).split(", ") if self.claim(HARD) else []

    @property
    def base(self) -> "Answer | None":
        """The right answer that the diff is made against; None for the worked solution.

        Raises:
            CourseError: the header names an answer that doesn't exist, or that isn't right.
        """
        if not (name := self.claim("Base")):
            return None
        for path in self.path.parent.glob(f"{name}*"):
            if path.stem == name and name.startswith("right_") and name != self.path.stem:
                return Answer(self.step, path)
        raise CourseError(f"{self.name} has the base {name}, and there's no right answer of that name.")

    def base_files(self) -> Files:
        """Return the files that the answer changes."""
        base = self.base
        return base.files() if base else solution_files(self.step, self.path.parents[3])

    def files(self) -> Files:
        """Return all files of the answer.

        Raises:
            CourseError: the diff doesn't fit its base.
        """
        if self.is_diff:
            try:
                return apply_diff(self.diff, self.base_files())
            except PatchError as error:
                raise CourseError(f"{self.name} doesn't fit its base: {error}") from error
        if not self.path.is_dir():
            return {"exercise.py": self.path.read_text("utf-8")}
        own = sorted(self.path.rglob("*.py"))
        return self.base_files() | {
            f"exercise/{path.relative_to(self.path).as_posix()}": path.read_text("utf-8") for path in own
        }

    def put_into(self, folder: Path) -> None:
        """Write the files of the answer into an empty folder, in the layout of `steps/NN_name`."""
        write_files(self.files(), folder)


def solution_files(step: Step, root: Path = ROOT) -> Files:
    """Return the files of the worked solution.

    Args:
        step: the step.
        root: the folder of the course.
    """
    return read_files(root / "solutions" / step.name)


def read_files(folder: Path) -> Files:
    """Return the files of an answer from a folder in the layout of `steps/NN_name`, without hidden folders."""
    names = (path.relative_to(folder) for path in exercise_files(folder))
    return {
        name.as_posix(): (folder / name).read_text("utf-8")
        for name in names
        if not any(part.startswith((".", "__pycache__")) for part in name.parts)
    }


def write_files(files: Files, folder: Path) -> None:
    """Write the files of an answer into a folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8", newline="\n")


def apply_diff(diff: str, base: Files) -> Files:
    """Apply a diff to the files of its base, and return the files of the answer.

    Args:
        diff: one unified diff for all files.
        base: the files that it changes.

    Raises:
        unipatch.PatchError: the diff doesn't fit.
    """
    files = dict(base)
    _, *parts = HEADER.split(diff)
    for old, new, hunks in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        if old != NOWHERE and old not in files:
            raise PatchError(f"{old} is missing in the base.")
        try:
            text = apply_patch(files.pop(old, ""), hunks)
        except PatchError as error:
            raise PatchError(f"{old if old != NOWHERE else new}: {error}") from error
        if new != NOWHERE:
            files[new] = text
    return files


def lines_of(text: str) -> list[str]:
    """Return the lines of a text, split only at newlines: `splitlines` also splits at a form feed."""
    return [line + "\n" for line in text.split("\n")[:-1]]


def diff_of(base: Files, files: Files) -> str:
    """Return the difference between two answers, as one unified diff with three lines of context."""
    lines: list[str] = []
    for name in sorted(base.keys() | files.keys()):
        before, after = base.get(name), files.get(name)
        if before == after:
            continue
        if not (before or after):
            raise CourseError(f"{name} is empty, so a diff can't add or remove it.")
        for text in (before, after):
            if text and not text.endswith("\n"):
                raise CourseError(f"{name} must end with a newline.")
        lines += difflib.unified_diff(
            lines_of(before or ""),
            lines_of(after or ""),
            NOWHERE if before is None else f"a/{name}",
            NOWHERE if after is None else f"b/{name}",
        )
    return "".join(lines)


def answers(root: Path = ROOT) -> list[Answer]:
    """Return every answer of every step.

    Args:
        root: the folder of the course.
    """
    return [
        Answer(step, path)
        for step in steps()
        for path in sorted((root / "tests" / "answers" / step.name).glob("*"))
        if re.fullmatch(r"(right_\w+(\.py|\.diff)?|wrong_\w+\.diff)", path.name)
    ]
