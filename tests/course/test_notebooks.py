"""Every notebook runs in a real kernel: unsolved, and solved twice in a row, with all cells queued at once."""

import re
from pathlib import Path

import pytest
from harness.kernels import code_of, copy_of_the_course, kernel
from harness.shipped import TODO, must_be_as_shipped
from workshop.course import Step, exercise_files, steps


def run_all(step: Step, course: Path, times: int) -> list[str]:
    """Run all cells of a notebook in one kernel, queued as Run All queues them.

    Args:
        step: whose notebook it is.
        course: the folder of a course.
        times: how often.

    Returns:
        The verdict that its check shows, of each time.

    Raises:
        AssertionError: a cell failed or was dropped.
    """
    sources = code_of(step.notebook)
    verdicts = []
    with kernel(course / "notebooks") as running:
        for _ in range(times):
            cells = running.run(sources)
            for number, cell in enumerate(cells):
                # What the server printed stands below the cell that started it.
                before = "\n".join(earlier.text for earlier in cells[:number])
                assert cell.status == "ok", f"{before}\n\n{cell.source}\n\n{cell.text}"
            verdict = next(cell for cell in cells if cell.source.startswith("check("))
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
    assert "\n       Server " not in verdict, f"it must fail on what it lacks, not on an error:\n{verdict}"


@pytest.mark.thorough("notebooks with their exercise solved")
@pytest.mark.parametrize("step", steps(), ids=lambda step: step.name)
def test_solved(step: Step, tmp_path: Path) -> None:
    """With the exercise solved every check is green, also when the notebook runs a second time in its kernel."""
    for verdict in run_all(step, copy_of_the_course(tmp_path, solved=True), 2):
        passed, number = re.search(r"(\d+) of (\d+) checks", verdict).groups()
        assert passed == number, verdict


def test_started_elsewhere(tmp_path: Path) -> None:
    """A notebook that is opened in another folder says what to do."""
    with kernel(tmp_path) as running:
        for step in steps():
            (cell,) = running.run(code_of(step.notebook)[:1])
            assert cell.status == "error"
            assert "Open this notebook in the course's folder notebooks" in cell.text
