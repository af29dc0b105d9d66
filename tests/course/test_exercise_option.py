"""`pytest --exercise N`, as a reader runs it in a terminal."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from harness.kernels import copy_of_the_course


def judge(course: Path, number: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a copy of the course."""
    command = [sys.executable, "-m", "pytest", "--exercise", number]
    return subprocess.run(command, cwd=course, capture_output=True, text=True, encoding="utf-8", timeout=120)


def test_solved(tmp_path: Path) -> None:
    """All checks green: exit code 0, a heading with the count, a line for each check, and nothing else."""
    done = judge(copy_of_the_course(tmp_path, solved=True), "2")
    assert done.returncode == 0, done.stdout + done.stderr
    heading, *checks = done.stdout.rstrip().splitlines()
    assert re.fullmatch(r"Step 02 echo +6 of 6 checks", heading)
    assert [line[:6] for line in checks] == [f"  ✓ {number} " for number in range(1, 7)]
    assert done.stderr == ""


def test_first_failure(tmp_path: Path) -> None:
    """The first failure is explained, with the line of the reader's file; what comes after it waits."""
    course = copy_of_the_course(tmp_path, solved=True)
    exercise = course / "steps" / "02_echo" / "exercise.py"
    source = exercise.read_text("utf-8")
    broken = source.replace('message.get("text") or ""', 'message["text"]')
    assert source != broken
    exercise.write_text(broken, "utf-8")
    done = judge(course, "02_echo")
    line = broken[: broken.index('message["text"]')].count("\n") + 1
    assert done.returncode == 1
    assert done.stderr == ""
    assert [text.rstrip() for text in done.stdout.splitlines()[:11]] == [
        "Step 02 echo                                      3 of 6 checks",
        "  ✓ 1  greets with a welcome",
        "  ✓ 2  echoes and counts",
        "  ✓ 3  answers anything else with an error",
        "  ✗ 4  answers a binary frame with an error",
        r"       I sent   a binary frame b'\x00\x01'",
        "       I got    the connection closed, code 1006",
        '       I expect {"type": "error", "detail": "..."} and the connection still open',
        "       Likely   A binary frame has no text, so reading that key of the message raises KeyError. "
        "Read it with message.get('text'), and handle None.",
        f"       Server   steps/02_echo/exercise.py:{line} KeyError: 'text'",
        "       Hint     notebook 02, Make, TODO 4",
    ]
    assert [text[:6] for text in done.stdout.splitlines()[11:]] == ["  · 5 ", "  · 6 "]


def test_does_not_parse(tmp_path: Path) -> None:
    """A file that does not parse is one sentence, not a traceback."""
    course = copy_of_the_course(tmp_path, solved=False)
    (course / "steps" / "02_echo" / "exercise.py").write_text("async def echo(\n", "utf-8")
    done = judge(course, "2")
    assert done.returncode == 1
    assert "  ✗ 0  starts under uvicorn\n       I got    steps/02_echo/exercise.py:1 SyntaxError" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_no_such_step(tmp_path: Path) -> None:
    """A step that is not there is answered with those that are."""
    done = judge(copy_of_the_course(tmp_path, solved=False), "77")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "There is no step '77'. The steps are 01_hello_world, 02_echo, 03_rooms, 04_router" in done.stderr


def test_broken_neighbours(tmp_path: Path) -> None:
    """Whatever a reader does to the other steps, the checks of this one go on."""
    course = copy_of_the_course(tmp_path, solved=True)
    shutil.rmtree(course / "steps" / "01_hello_world")
    for path in (course / "steps" / "02_echo").glob("*.py"):
        path.write_text("raise SystemExit(\n", "utf-8")
    (course / "steps" / "websockets.py").write_text("raise ValueError\n", "utf-8")
    done = judge(course, "3")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.thorough("helpers that are killed, suspended, or run many at a time")
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("option", [[], ["--watch"]], ids=["once", "watch"])
@pytest.mark.parametrize("end", ["SIGKILL", "SIGHUP", "SIGINT"])
def test_nothing_is_left(tmp_path: Path, end: str, option: list[str]) -> None:
    """A test run that is killed, whose terminal is closed, or that is interrupted, leaves no server behind."""
    course = copy_of_the_course(tmp_path, solved=False)
    (course / "steps" / "02_echo" / "exercise.py").write_text("import time\ntime.sleep(600)\n", "utf-8")
    command = [sys.executable, "-m", "pytest", "--exercise", "2", *option]

    def heed_signals() -> None:
        # A run in the background, or under nohup, hands down that some are ignored.
        signal.signal(getattr(signal, end), signal.SIG_DFL)

    heed = None if end == "SIGKILL" else heed_signals
    with subprocess.Popen(
        command, cwd=course, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=heed
    ) as process:
        deadline = time.monotonic() + 20
        while not (children := psutil.Process(process.pid).children()) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert children
        os.kill(process.pid, getattr(signal, end))
        try:
            process.wait(20)
        finally:
            process.kill()
    gone, alive = psutil.wait_procs(children, timeout=20)
    assert not alive
    assert gone
