"""Every notebook runs in a real kernel: queued, twice, and cell by cell, unsolved and solved."""

import re
from pathlib import Path

import pytest
from kernels import code_of, copy_of_the_course, kernel
from workshop.course import Step, steps


@pytest.mark.parametrize("solved", [False, True], ids=["as shipped", "solved"])
@pytest.mark.parametrize("step", steps(), ids=lambda step: step.name)
def test_runs(step: Step, solved: bool, tmp_path: Path) -> None:
    """No cell fails or is dropped, and the check says what the exercise deserves."""
    course = copy_of_the_course(tmp_path, solved=solved)
    sources = code_of(step.notebook)
    with kernel(course / "notebooks") as running:
        for queued in (True, True, False):
            cells = running.run(sources, queued=queued)
            for cell in cells:
                assert cell.status == "ok", f"{cell.source}\n\n{cell.text}"
            verdict = next(cell for cell in cells if cell.source.startswith("check("))
            passed, number = re.search(r"(\d+) of (\d+) checks", verdict.text).groups()
            assert not solved or passed == number, verdict.text
            assert "<table>" in verdict.html


def test_started_elsewhere(tmp_path: Path) -> None:
    """A notebook that is opened in another folder says what to do."""
    with kernel(tmp_path) as running:
        for step in steps():
            (cell,) = running.run(code_of(step.notebook)[:1], queued=True)
            assert cell.status == "error"
            assert "Open this notebook in the course's folder notebooks" in cell.text
