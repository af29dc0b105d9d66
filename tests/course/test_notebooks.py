"""Every notebook runs in a real kernel: unsolved, and solved twice in a row, with all cells queued from the start."""

import ast
import json
import re
from pathlib import Path

import pytest
from harness.kernels import code_of, copy_of_the_course, kernel
from harness.shipped import TODO, must_be_as_shipped
from workshop.course import Step, exercise_files, steps
from workshop.predictions import find_question


def run_all(step: Step, course: Path, times: int) -> list[str]:
    """Run all cells of a notebook in one kernel, queued as Run All queues them.

    Args:
        step: the step of the notebook.
        course: the folder of a course.
        times: the number of runs.

    Returns:
        The verdict that its check shows, for each run.

    Raises:
        AssertionError: a cell failed or was dropped.
    """
    sources = code_of(step.notebook)
    verdicts = []
    with kernel(course / "notebooks") as running:
        for _ in range(times):
            cells = running.run(sources)
            for number, cell in enumerate(cells):
                # The server prints its lines below the cell that started it.
                before = "\n".join(earlier.text for earlier in cells[:number])
                assert cell.status == "ok", f"{before}\n\n{cell.source}\n\n{cell.text}"
                for name in re.findall(r'reveal\("(.+?)"', cell.source):
                    assert f"the run says **{find_question(name).right}**" in cell.markdown, cell.markdown
            verdict = next(cell for cell in cells if "\ncheck(" in cell.source)
            assert "<table>" in verdict.html
            verdicts.append(verdict.text)
    return verdicts


@pytest.mark.parametrize("step", steps(), ids=lambda step: step.name)
def test_unsolved(step: Step, tmp_path: Path) -> None:
    """No cell fails or is dropped. The check fails on the first TODO of the starter, with an explanation."""
    (verdict,) = run_all(step, copy_of_the_course(tmp_path, solved=False), 1)
    assert re.search(r"\d+ of \d+ checks", verdict)
    must_be_as_shipped(step)
    first = min(int(number) for path in exercise_files(step.folder) for number in TODO.findall(path.read_text("utf-8")))
    assert re.search(rf"^  ✗ {first}  ", verdict, re.MULTILINE), verdict
    for label in ("I got", "I expect", "Likely", "Hint"):
        assert f"\n       {label} " in verdict, verdict
    assert "\n       Server " not in verdict, f"it must fail because of a TODO, not an error:\n{verdict}"


def with_groups() -> list[object]:
    """Return the steps. One whose exercise is a suite belongs to the group of the tests that judge suites."""
    group = pytest.mark.xdist_group("suites")
    return [pytest.param(step, id=step.name, marks=[group] if step.is_suite else []) for step in steps()]


@pytest.mark.thorough("notebooks with their exercise solved")
@pytest.mark.parametrize("step", with_groups())
def test_solved(step: Step, tmp_path: Path) -> None:
    """If the exercise is solved, every check is green, also when the notebook runs a second time in its kernel."""
    for verdict in run_all(step, copy_of_the_course(tmp_path, solved=True), 2):
        passed, number = re.search(r"(\d+) of (\d+) checks", verdict).groups()
        assert passed == number, verdict


@pytest.mark.parametrize("step", steps(), ids=lambda step: step.name)
def test_first_cell(step: Step) -> None:
    """The first cell is one import of the helpers, and the text above it explains what to do if it fails."""
    (statement,) = ast.parse(code_of(step.notebook)[0]).body
    assert isinstance(statement, ast.ImportFrom) and statement.module == "workshop"
    goal = "".join(json.loads(step.notebook.read_text("utf-8"))["cells"][0]["source"])
    sentence = "If the next cell raises `ModuleNotFoundError`, open this notebook in the course's folder `notebooks`."
    assert goal.endswith(sentence)


@pytest.mark.parametrize("step", steps(), ids=lambda step: step.name)
def test_cells_are_short(step: Step) -> None:
    """A code cell fits half a screen: 25 lines of 80 columns, which ruff checks too."""
    for cell in code_of(step.notebook):
        lines = cell.splitlines()
        assert len(lines) <= 25 and max(map(len, lines)) <= 80, cell


def test_started_elsewhere(tmp_path: Path) -> None:
    """If Jupyter was started in another folder, the first cell raises the error that the text above it explains."""
    with kernel(tmp_path) as running:
        (cell,) = running.run(code_of(steps()[0].notebook)[:1])
        assert cell.status == "error"
        assert "ModuleNotFoundError" in cell.text and "workshop" in cell.text
