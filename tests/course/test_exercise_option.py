"""`pytest --exercise N`, as a learner runs it in a terminal."""

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
from harness.answers import answers
from harness.kernels import copy_of_the_course


def judge(course: Path, number: str) -> subprocess.CompletedProcess[str]:
    """Run `pytest --exercise` for one step in a copy of the course."""
    command = [sys.executable, "-m", "pytest", "--exercise", number]
    return subprocess.run(command, cwd=course, capture_output=True, text=True, encoding="utf-8", timeout=120)


def put(course: Path, name: str) -> None:
    """Put an answer from tests/answers, such as `02_echo/wrong_text_escaped`, into the learner's folder of its step."""
    answer = next(answer for answer in answers() if answer.name == name)
    answer.put_into(course / "steps" / answer.step.name)


def test_solved(tmp_path: Path) -> None:
    """If all checks pass: exit code 0, a heading with the count, a line for each check, and then the hard cases."""
    done = judge(copy_of_the_course(tmp_path, solved=True), "2")
    assert done.returncode == 0, done.stdout + done.stderr
    required, hard = done.stdout.rstrip().split("\nHard cases, once all is green ")
    heading, *checks = required.splitlines()
    assert heading.split("  ")[-1].strip() == f"{len(checks)} of {len(checks)} checks"
    assert re.match("Step 02 echo ", heading)
    assert {line[:6] for line in checks} == {f"  ✓ {number} " for number in range(1, 7)}
    count, *cases = hard.splitlines()
    assert count.strip() == f"{len(cases)} of {len(cases)} hard cases"
    assert all(re.match("  ✓ [1-6] ", line) for line in cases)
    assert done.stderr == ""


@pytest.mark.thorough("hard cases and seeds of a verdict")
def test_hard_cases(tmp_path: Path) -> None:
    """A hard case that fails is explained like a check, and the step is done without it."""
    course = copy_of_the_course(tmp_path, solved=False)
    put(course, "02_echo/wrong_surrogate_uncaught")
    done = judge(course, "2")
    assert done.returncode == 0, done.stdout + done.stderr
    required, hard = done.stdout.split("\nHard cases, once all is green ")
    assert "✗" not in required
    count, *lines = hard.splitlines()
    cases = sum(line[:4] in ("  ✓ ", "  ✗ ") for line in lines)
    assert count.strip() == f"{cases - 1} of {cases} hard cases"
    (failed,) = (place for place, line in enumerate(lines) if line.startswith("  ✗ "))
    labels = [line[7:16].strip() for line in lines[failed + 1 :] if line.startswith("       ")]
    assert [label for label in labels if label] == ["I sent", "I got", "I expect", "Likely", "Server", "Hint"]


@pytest.mark.thorough("hard cases and seeds of a verdict")
def test_seed(tmp_path: Path) -> None:
    """A failure that depends on drawn values names the seed, and the same seed draws the same values."""
    course = copy_of_the_course(tmp_path, solved=False)
    put(course, "02_echo/wrong_text_escaped")
    first = judge(course, "2")
    (seed,) = re.findall(r"       Seed     pytest --exercise 2 --seed (\d+) ", first.stdout)
    command = [sys.executable, "-m", "pytest", "--exercise", "2", "--seed", seed]
    again = subprocess.run(command, cwd=course, capture_output=True, text=True, encoding="utf-8", timeout=120)
    assert again.stdout == first.stdout


def test_first_failure(tmp_path: Path) -> None:
    """The first failure is explained, with the line of the learner's file; the checks after it aren't run."""
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
    heading, *lines = (text.rstrip() for text in done.stdout.splitlines())
    failed = next(place for place, text in enumerate(lines) if text.startswith("  ✗ "))
    assert re.fullmatch(rf"Step 02 echo +{failed} of \d+ checks", heading)
    assert {text[:6] for text in lines[:failed]} == {"  ✓ 1 ", "  ✓ 2 ", "  ✓ 3 "}
    assert lines[failed : failed + 8] == [
        "  ✗ 4  answers a binary message with an error",
        r"       I sent   bytes that aren't text: a binary frame b'\x00\x01'",
        "       I got    the connection closed, code 1006",
        '       I expect {"type": "error", "detail": "..."} and the connection still open',
        "       Likely   A binary frame has no text, so reading that key of the message raises KeyError. "
        "Read it with message.get('text'), and handle None.",
        f"       Server   steps/02_echo/exercise.py:{line} KeyError: 'text'",
        "       Hint     notebook 02, Make, TODO 4",
        "  · 5  closes with 1000 and bye on a bye",
    ]
    assert all(text.startswith("  · ") for text in lines[failed + 8 :])


def test_does_not_parse(tmp_path: Path) -> None:
    """A file that doesn't parse gets one sentence, not a traceback."""
    course = copy_of_the_course(tmp_path, solved=False)
    (course / "steps" / "02_echo" / "exercise.py").write_text("async def echo(\n", "utf-8")
    done = judge(course, "2")
    assert done.returncode == 1
    assert "  ✗ 0  starts under uvicorn\n       I got    steps/02_echo/exercise.py:1 SyntaxError" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_no_such_step(tmp_path: Path) -> None:
    """If the step doesn't exist, the error lists the existing ones."""
    done = judge(copy_of_the_course(tmp_path, solved=False), "77")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "There is no step '77'. The steps are 01_hello_world, 02_echo, 03_rooms, 04_router" in done.stderr


def test_broken_neighbours(tmp_path: Path) -> None:
    """The checks of a step run whatever the learner changes in the other steps."""
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
    """If a test run is killed or interrupted, or its terminal is closed, it leaves no server behind."""
    course = copy_of_the_course(tmp_path, solved=False)
    (course / "steps" / "02_echo" / "exercise.py").write_text("import time\ntime.sleep(600)\n", "utf-8")
    command = [sys.executable, "-m", "pytest", "--exercise", "2", *option]

    def heed_signals() -> None:
        # A run in the background, or under nohup, inherits that some signals are ignored.
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
