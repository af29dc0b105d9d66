"""The tests that `pytest` runs, those that it leaves out, and the line that reports them."""

import re
import subprocess
import sys

from workshop.course import ROOT


def last_line(*arguments: str) -> str:
    """Collect the tests with this command line, and return the last line of the output."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-n", "0", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.rstrip().splitlines()[-1]


def test_left_out() -> None:
    """A plain run ends with the left-out tests and the command that runs them; --all leaves out none."""
    plain, whole = last_line(), last_line("--all")
    assert plain.startswith("Left out: ")
    assert plain.endswith(". pytest --all runs everything.")
    for part in ("right and wrong answers", "JupyterLab in a browser", "notebooks with their exercise solved"):
        assert re.search(rf"{part} \(\d+\)", plain), plain
    assert re.match(r"\d+ tests collected", whole), whole


def test_named() -> None:
    """If you name a file, its tests always run."""
    assert re.match(r"\d+/\d+ tests collected", last_line("tests/course/test_answers.py", "-k", "01_hello_world"))
