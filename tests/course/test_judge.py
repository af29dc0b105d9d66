"""How the judge ends: with a verdict and nothing else."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from harness.kernels import copy_of_the_course
from judge.judge import BLOCKED, STARTS, Judge
from judge.model import Failure
from judge.subject import Subject
from workshop.course import ROOT, find_step
from workshop.server import Server


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


@pytest.mark.anyio
@pytest.mark.parametrize(("ending", "is_blocked"), [("close(4000)", False), ("send({'type': 'none'})", True)])
async def test_closed_is_not_blocked(tmp_path: Path, ending: str, is_blocked: bool) -> None:
    """A slow server that has sent a close frame isn't called blocked; one that has sent none is."""
    step = find_step(2)
    source = (step.solution / "exercise.py").read_text("utf-8")
    broken = source.replace('await websocket.send_json({"type": "welcome"})', f"await websocket.{ending}")
    assert source != broken
    (tmp_path / "exercise.py").write_text(broken, "utf-8")
    with Server(step.target("exercise"), tmp_path) as server:
        subject = Subject(server, 2.0, tmp_path)
        async with subject.client() as tab:
            with pytest.raises(Failure) as failed:
                await tab.next(expect="a welcome", likely="something else")
        # A busy machine delays two requests as a blocked event loop does.
        subject.blocked = True
        lines = Judge(step, tmp_path, server)._explain(STARTS, failed.value, "", subject)
        await subject.close()
    assert (("Likely", BLOCKED) in lines) == is_blocked
