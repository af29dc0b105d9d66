"""The steps of the course. The numbered folders under steps/ are the only list of them."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The folder of the course, which contains README.md."""
WORKSPACES = "workspaces"
"""The folder in notebooks/ with the workspace of each step."""
CHECKPOINTS = ".ipynb_checkpoints"
"""The name of the folder for JupyterLab's copies of files."""


class CourseError(Exception):
    """An error that one sentence explains. A notebook shows the sentence without a traceback."""

    def _render_traceback_(self) -> list[str]:
        # IPython asks an exception for this method before it builds a traceback.
        return [str(self)]


@dataclass(frozen=True)
class Step:
    """One step of the course."""

    number: int
    name: str
    """The folder's name, such as `02_echo`."""

    @property
    def folder(self) -> Path:
        """The folder that you work in, such as `steps/02_echo`."""
        return ROOT / "steps" / self.name

    @property
    def solution(self) -> Path:
        """The folder of the worked solution, such as `solutions/02_echo`."""
        return ROOT / "solutions" / self.name

    @property
    def notebook(self) -> Path:
        """The notebook of the step."""
        return ROOT / "notebooks" / f"{self.name}.ipynb"

    @property
    def workspace(self) -> Path:
        """The layout of JupyterLab for the step."""
        return ROOT / "notebooks" / WORKSPACES / f"{self.name}.jupyterlab-workspace"

    @property
    def is_suite(self) -> bool:
        """Whether the exercise is a test suite, which the checks run on other servers."""
        return (self.solution / "exercise" / "conftest.py").exists()

    @property
    def command(self) -> str:
        """The command that runs the exercise: in the course's folder, or in the step's folder if it's a suite."""
        if self.is_suite:
            return "python -m pytest exercise"
        return f"uvicorn {self.target('exercise')} --app-dir steps/{self.name} --reload"

    def target(self, part: str) -> str:
        """Return the app argument for uvicorn: `main:app`, `exercise:app`, or their form in a package.

        Args:
            part: `"lesson"` or `"exercise"`.

        Raises:
            CourseError: `part` is neither of them.
        """
        if part not in ("lesson", "exercise"):
            raise CourseError(f'A step has the parts "lesson" and "exercise", not {part!r}.')
        if (self.folder / "app").is_dir():
            return "app.main:app" if part == "lesson" else "exercise.main:app"
        return "main:app" if part == "lesson" else "exercise:app"


def exercise_files(folder: Path) -> list[Path]:
    """Return the files of an answer: `exercise.py`, or every Python file of the package `exercise/`.

    Args:
        folder: the folder of the answer, such as `steps/02_echo`.
    """
    package = folder / "exercise"
    if not package.is_dir():
        return [folder / "exercise.py"]
    # JupyterLab writes a copy of each file that it opens into the folder .ipynb_checkpoints next to it.
    files = [path for path in package.rglob("*.py") if CHECKPOINTS not in path.parts]
    return sorted(files)


def steps() -> list[Step]:
    """Return every step of the course, in order."""
    folders = sorted((ROOT / "steps").glob("[0-9][0-9]_*"))
    return [Step(int(folder.name[:2]), folder.name) for folder in folders if folder.is_dir()]


def find_step(which: int | str) -> Step:
    """Return the step with this number or folder name.

    Args:
        which: `2`, `"2"`, `"02"` or `"02_echo"`.

    Raises:
        CourseError: there's no such step.
    """
    number = re.match(r"\d+", str(which))
    for step in steps():
        if which == step.name or (number and number[0] == str(which) and int(which) == step.number):
            return step
    names = ", ".join(step.name for step in steps())
    raise CourseError(f"There is no step {which!r}. The steps are {names}.")
