"""The types of lessons and solutions: learners copy this code into projects with a type checker."""

import subprocess
import sys
from pathlib import Path

import pytest
from harness.shipped import must_be_as_shipped
from workshop.course import ROOT, Step, steps

# Run one after the other, so all but the first find the libraries in mypy's cache.
pytestmark = pytest.mark.xdist_group("types")


def findings(folder: Path) -> str:
    """Return the errors of mypy --strict in the servers of a folder; empty if there are none.

    Args:
        folder: the folder for uvicorn's option --app-dir.
    """
    packages = [name for name in ("app", "exercise") if (folder / name).is_dir()]
    modules = [path.stem for path in sorted(folder.glob("*.py"))]
    assert packages or modules, f"{folder.relative_to(ROOT)} holds no server"
    targets = [word for name in packages for word in ("-p", name)] + [word for name in modules for word in ("-m", name)]
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--python-version", "3.11"]
    command += ["--cache-dir", str(ROOT / ".mypy_cache"), *targets]
    # mypy looks for modules in the working folder.
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, encoding="utf-8")
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize("step", steps(), ids=lambda step: step.name)
def test_lesson_and_starter(step: Step) -> None:
    """mypy --strict finds no error in a lesson and its starter code."""
    must_be_as_shipped(step)
    assert not (found := findings(step.folder)), f"in steps/{step.name}:\n{found}"


@pytest.mark.parametrize("step", steps(), ids=lambda step: step.name)
def test_solution(step: Step) -> None:
    """mypy --strict finds no error in a worked solution."""
    assert not (found := findings(step.solution)), f"in solutions/{step.name}:\n{found}"
