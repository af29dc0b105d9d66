"""How the judge ends: with a verdict and nothing else."""

import re
import subprocess
import sys
from pathlib import Path

from harness.kernels import copy_of_the_course
from workshop.course import ROOT


def test_tasks() -> None:
    """Checks start their tasks with `judge.tasks`: an exception that no check asks for would be printed."""
    files = [*(ROOT / "tests" / "checks").rglob("*.py"), *(ROOT / "tests" / "judge").glob("*.py")]
    assert len(files) > 20
    for file in files:
        found = re.search(r"\b(create_task|ensure_future)\(", file.read_text("utf-8"))
        assert file.name == "tasks.py" or not found, f"{file.name}: use spawn() or running() in place of {found[1]}()"


def test_no_traceback_of_its_own(tmp_path: Path) -> None:
    """The first check fails while logins that other checks share are under way: the output is the verdict alone."""
    course = copy_of_the_course(tmp_path, solved=True)
    tokens = course / "steps" / "06_auth" / "exercise" / "tokens.py"
    source = tokens.read_text("utf-8")
    broken = source.replace("math.ceil(now + TOKEN_SECONDS)", "math.ceil(now + 2 * TOKEN_SECONDS)")
    assert source != broken
    tokens.write_text(broken, "utf-8")
    command = [sys.executable, "-m", "pytest", "--exercise", "6"]
    done = subprocess.run(command, cwd=course, capture_output=True, text=True, encoding="utf-8", timeout=120)
    assert done.returncode == 1
    assert "  ✗ 1  exchanges a name and a password for a token\n" in done.stdout
    assert done.stderr == ""
    for words in ("Traceback", "never retrieved", "never awaited"):
        assert words not in done.stdout
