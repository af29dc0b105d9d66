"""The live card of a notebook and the loop in the terminal run the checks again at every save."""

import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Queue

import psutil
import pytest
from harness.answers import answers
from harness.kernels import Kernel, code_of, copy_of_the_course, kernel
from harness.verdicts import checks, green, red
from workshop.course import find_step
from workshop.warm import POSSIBLE

DEADLINE = 60.0
"""The longest wait for any event, in seconds; a verdict takes two or three."""


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """Create a copy of the course without solutions in the exercises."""
    return copy_of_the_course(tmp_path / "course", solved=False)


@pytest.fixture
def running(course: Path) -> Iterator[Kernel]:
    """Start a kernel in the copy."""
    with kernel(course / "notebooks") as running:
        running.run(["from workshop import check, compare, progress"])
        yield running


def exercise(course: Path) -> Path:
    """Return the file that a learner edits in step 02."""
    return course / "steps" / "02_echo" / "exercise.py"


def solution() -> str:
    """Return the worked solution of step 02."""
    return (find_step(2).solution / "exercise.py").read_text("utf-8")


def shown_until(running: Kernel, pattern: str) -> str:
    """Wait until an output changes to a text that matches the pattern, and return the text."""
    deadline = time.monotonic() + DEADLINE
    while True:
        message = running.client.get_iopub_msg(timeout=deadline - time.monotonic())
        if message["msg_type"] in ("display_data", "update_display_data"):
            data = message["content"]["data"]
            text = data.get("text/plain", "") + data.get("text/markdown", "")
            if re.search(pattern, text):
                return text


class TestCard:
    def test_follows_the_file(self, running: Kernel, course: Path) -> None:
        """After a save, the new verdict replaces the old one in its output, although no cell runs; then a failure."""
        (cell,) = running.run(["check(2)"])
        assert red(2) in cell.text
        assert "Verdict 1" in cell.text
        assert "TODO 1: hint 1" in cell.markdown
        exercise(course).write_text(solution(), "utf-8")
        text = shown_until(running, "Verdict 2")
        assert green(2) in text
        exercise(course).write_text("async def echo(\n", "utf-8")
        assert "SyntaxError" in shown_until(running, "Verdict 3")

    def test_ticks(self, running: Kernel, course: Path) -> None:
        """While the checks run, the card shows which have passed and which one is running."""
        exercise(course).write_text(solution(), "utf-8")
        running.client.execute("check(2)")
        assert "▸ 1  greets" in shown_until(running, "The checks are running")
        text = shown_until(running, "✓ 1  greets")
        assert "▸" in text
        assert "The checks are running" in text
        shown_until(running, "Verdict 1")

    def test_hints_stay_open(self, running: Kernel, course: Path) -> None:
        """The hints are drawn again only when they change, so a hint that you have opened stays open."""
        running.run(["check(2)"])
        file = exercise(course)
        file.write_text(file.read_text("utf-8") + "\n# one more line\n", "utf-8")
        seen: list[str] = []
        deadline = time.monotonic() + DEADLINE
        while not any("Verdict 2" in text for text in seen):
            content = running.client.get_iopub_msg(timeout=deadline - time.monotonic())["content"]
            if "data" in content:
                assert "text/markdown" not in content["data"]
                seen.append(content["data"]["text/plain"])

    def test_solution_after_three_tries(self, running: Kernel, course: Path) -> None:
        """After three changes that fail, the worked solution is offered; the same answer isn't counted twice."""
        (first,) = running.run(["check(2)"])
        (again,) = running.run(["check(2)"])
        assert "worked solution" not in first.markdown + again.markdown
        file = exercise(course)
        for number in (1, 2, 3):
            file.write_text(file.read_text("utf-8") + f"# {number}\n", "utf-8")
            text = shown_until(running, f"Verdict {number + 1}" if number < 3 else "worked solution")
        assert "+++ solutions/02_echo/exercise.py" in text
        # The hints have an output of their own, so those that you have opened stay open.
        assert "TODO 1: hint 1" not in text

    def test_solution_after_a_pass(self, running: Kernel, course: Path) -> None:
        """If an answer passes, the card shows its difference from the worked solution."""
        exercise(course).write_text(solution() + "\n# mine\n", "utf-8")
        (cell,) = running.run(["check(2)"])
        assert green(2) in cell.text
        assert "-# mine" in cell.markdown

    @pytest.mark.thorough("hard cases and seeds of a verdict")
    def test_hard_cases(self, running: Kernel, course: Path) -> None:
        """A green card shows the hard cases once they have run, with the hints for the first one that failed."""
        answer = next(answer for answer in answers() if answer.name == "02_echo/wrong_surrogate_uncaught")
        answer.put_into(course / "steps" / "02_echo")
        running.client.execute("check(2)")
        text = shown_until(running, r"\d of \d hard cases")
        hard = len(checks(2, hard=True))
        assert green(2) in text
        assert f"{hard - 1} of {hard} hard cases" in text
        assert "Verdict 1" in text

    def test_cell_run_again(self, running: Kernel, course: Path) -> None:
        """After the cell runs again, one follower remains, and the old card states that it follows no file."""
        running.run(["check(2)"])
        running.client.execute("check(2)")
        shown_until(running, "These results are old")
        (cell,) = running.run(["import psutil\nprint('children', len(psutil.Process().children()), 'in all')"])
        assert "children 1 in all" in cell.text

    def test_restart(self, running: Kernel) -> None:
        """When the kernel restarts, the results state that they're old, and which cell to run."""
        running.run(["check(2)"])
        running.client.shutdown(restart=True)
        assert "run this cell: check(2)" in shown_until(running, "These results are old")

    def test_runs_by_itself(self, running: Kernel, course: Path) -> None:
        """After a restart, the cell of the notebook needs no other cell."""
        cell = next(code for code in code_of(course / "notebooks" / "02_echo.ipynb") if "check(2)" in code)
        with kernel(course / "notebooks") as fresh:
            (shown,) = fresh.run([cell])
        assert red(2) in shown.text

    def test_marks(self, running: Kernel) -> None:
        """Passed and failed checks have colors as well as signs, and the checks that didn't run are folded."""
        (cell,) = running.run(["check(2)"])
        assert re.search(r"color:[^>]+>✗ failed", cell.html)
        rows, folded = cell.html.split("<details>")
        assert "not run" not in rows
        assert f"· {len(checks(2)) - 1} checks not run" in folded

    def test_next(self, running: Kernel, course: Path) -> None:
        """If all is green, there's a link to the next workspace, and the results of the steps so far."""
        exercise(course).write_text(solution(), "utf-8")
        (cell,) = running.run(["check(2)"])
        (link,) = re.findall(r'href="(workspaces/03_rooms[^"]+)"', cell.html)
        assert (course / "notebooks" / link).exists()
        assert "All steps so far: 02 ✓." in cell.text

    def test_not_live(self, running: Kernel) -> None:
        """With live=False, no process keeps running."""
        (cell, after) = running.run(["check(2, live=False)", "import psutil\nprint(len(psutil.Process().children()))"])
        assert red(2) in cell.text
        assert "each time you save" not in cell.text
        assert after.text == "0\n"

    def test_compare(self, running: Kernel) -> None:
        """One command shows the worked solution, however many attempts there were."""
        (cell,) = running.run(["compare(2)"])
        assert cell.markdown.startswith("**solutions/02_echo/exercise.py**\n\n~~~~~~python\n")
        solution, diff = cell.markdown.split("~~~~~~diff\n")
        assert diff.startswith("--- steps/02_echo/exercise.py\n+++ solutions/02_echo/exercise.py")
        assert '"""Step 02' not in solution + diff

    @pytest.mark.thorough("helpers that are killed, suspended, or run many at a time")
    def test_progress(self, running: Kernel, course: Path) -> None:
        """A line for each step: how many checks pass, and which one is next."""
        exercise(course).write_text(solution(), "utf-8")
        (cell,) = running.run(["progress()"])
        assert cell.status == "ok", cell.text
        rows = re.findall(r"<tr>(.+?)</tr>", cell.html)
        assert green(2) in rows[1]
        assert "✓ done" in rows[1]
        assert "next: 1 passes a text on" in rows[2]
        assert 'href="03_rooms.ipynb"' in rows[2]


class TestWire:
    def test_changes_while_frames_pass(self, running: Kernel, tmp_path: Path) -> None:
        """The table below a cell grows while the cell still runs, and also shows stop, clear and later frames."""
        running.run(["from workshop import Wire\nwire = Wire()"])
        gate = tmp_path / "gate"
        running.client.execute(
            "import asyncio, pathlib\nwire.show()\nwire.add('Ada', 'to server', 'text', 'early')\n"
            f"while not pathlib.Path({str(gate)!r}).exists():\n    await asyncio.sleep(0.02)"
        )
        assert "→ text   early" in shown_until(running, "early")
        gate.touch()
        (_, cell) = running.run(["wire.stop()", "wire"])
        assert "The recording is stopped" in cell.text
        running.client.execute("wire.clear()\nwire.add('Grace', 'to server', 'text', 'late')")
        assert "early" not in shown_until(running, "late")


class TestTerminal:
    """`pytest --exercise` in a terminal."""

    def test_watch(self, course: Path) -> None:
        """--watch prints a verdict after each save, and after a pass also the command that shows the solution."""
        command = [sys.executable, "-u", "-m", "pytest", "--exercise", "2", "--watch"]
        lines: Queue[str] = Queue()
        with subprocess.Popen(command, cwd=course, stdout=subprocess.PIPE, text=True, encoding="utf-8") as process:
            threading.Thread(target=lambda: [lines.put(line) for line in process.stdout], daemon=True).start()
            try:
                self.wait_for(lines, red(2))
                self.wait_for(lines, "Save a file in steps/02_echo, and it is judged again")
                if POSSIBLE:
                    commands = [child.cmdline()[-1] for child in psutil.Process(process.pid).children()]
                    assert any(command.endswith("template.py") for command in commands), commands
                exercise(course).write_text(solution(), "utf-8")
                self.wait_for(lines, green(2))
                self.wait_for(lines, "pytest --exercise 2 --solution")
            finally:
                process.terminate()

    @staticmethod
    def wait_for(lines: "Queue[str]", text: str) -> None:
        """Wait for a line that contains this text."""
        while text not in lines.get(timeout=DEADLINE):
            pass

    def run(self, course: Path, *arguments: str, seconds: float = DEADLINE) -> subprocess.CompletedProcess[str]:
        """Run pytest in a copy of the course."""
        command = [sys.executable, "-m", "pytest", *arguments]
        return subprocess.run(command, cwd=course, capture_output=True, text=True, encoding="utf-8", timeout=seconds)

    @pytest.mark.thorough("helpers that are killed, suspended, or run many at a time")
    def test_all(self, course: Path) -> None:
        """Without a number, there's a line for each step and nothing else."""
        exercise(course).write_text(solution(), "utf-8")
        # The checks of all steps: half a minute, and three times as long on a busy machine.
        done = self.run(course, "--exercise", seconds=10 * DEADLINE)
        assert done.returncode == 1, done.stderr
        assert re.search(
            rf"^01 hello world +1 of {len(checks(1))} checks +next: 2 greets by name$", done.stdout, re.MULTILINE
        )
        hard = len(checks(2, hard=True))
        assert re.search(rf"^02 echo +{green(2)} +done, {hard} of {hard} hard cases$", done.stdout, re.MULTILINE)
        assert done.stderr == ""

    def test_solution(self, course: Path) -> None:
        """--solution prints the difference, or states that there's none."""
        done = self.run(course, "--exercise", "2", "--solution")
        assert "+++ solutions/02_echo/exercise.py" in done.stdout
        exercise(course).write_text(solution(), "utf-8")
        done = self.run(course, "--exercise", "2", "--solution")
        assert done.stdout == "Your code and the worked solution are the same.\n"

    @pytest.mark.parametrize("option", ["--watch", "--solution"])
    def test_without_a_step(self, course: Path, option: str) -> None:
        """An option that needs a step reports that none is given."""
        for arguments in ((option,), ("--exercise", option)):
            done = self.run(course, *arguments)
            assert done.returncode == pytest.ExitCode.USAGE_ERROR
            assert "Say which step" in done.stderr
