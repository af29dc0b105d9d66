"""How long a verdict takes, against what cannot be avoided.

    python tests/bench/speed.py

For each step, `pytest --exercise N` with all checks green is compared with the sum of an empty pytest run,
`import fastapi`, and one start of uvicorn with the same answer. All are measured in turn, several times;
the table shows medians. Then come the seconds from a save to the verdict in the live card, for an answer that is
right and for the starter, whose first check waits in vain. Last comes a whole run of pytest.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent / "notebooks")]

from kernels import copy_of_the_course  # noqa: E402
from workshop.course import ROOT, Step, exercise_files, steps  # noqa: E402
from workshop.server import Server  # noqa: E402

ROUNDS = 7
AT_MOST = {1: 1.3, 2: 1.3, 3: 2.0, 4: 2.0, 5: 2.0, 6: 5.0, 7: 5.0, 8: 9.0, 9: 11.0}
SAVE_AT_MOST = 3.0
WHOLE_AT_MOST = 150


def run(*command: str, cwd: Path) -> None:
    """Run a command that must succeed."""
    subprocess.run([sys.executable, *command], cwd=cwd, check=True, stdout=subprocess.DEVNULL)


def seconds(work: Callable[[], None]) -> float:
    """How long a piece of work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def start_uvicorn(step: Step) -> None:
    """Start the solution of a step, wait until it takes connections, and end it."""
    with Server(step.target("exercise"), step.solution):
        pass


def from_save_to_verdict(course: Path, step: Step) -> tuple[float, float]:
    """Median seconds from saving an answer to its verdict: of the solution, and of the starter."""
    command = [sys.executable, "-m", "pytest", "--exercise", str(step.number), "--watch", "--events"]
    files = [path.relative_to(step.folder) for path in exercise_files(step.folder)]
    taken: dict[Path, list[float]] = {step.solution: [], step.folder: []}
    with subprocess.Popen(command, cwd=course, stdout=subprocess.PIPE, text=True, encoding="utf-8") as process:
        verdicts = (line for line in process.stdout if '"running": false' in line)
        next(verdicts)
        for round_number in range(ROUNDS):
            for source, times in taken.items():
                start = time.perf_counter()
                for file in files:
                    text = (source / file).read_text("utf-8") if (source / file).exists() else ""
                    (course / "steps" / step.name / file).write_text(f"{text}\n# {round_number}\n", "utf-8")
                next(verdicts)
                times.append(time.perf_counter() - start)
        process.terminate()
    return statistics.median(taken[step.solution]), statistics.median(taken[step.folder])


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        course = copy_of_the_course(Path(folder) / "course", solved=True)
        empty = Path(folder) / "empty"
        empty.mkdir()
        (empty / "test_nothing.py").write_text("def test_nothing():\n    pass\n", "utf-8")
        print(f"medians of {ROUNDS} rounds, in seconds")
        print(f"{'step':<16}{'verdict':>9}{'pytest':>9}{'import':>9}{'uvicorn':>9}{'ratio':>8}{'at most':>9}")
        for step in steps():
            rows = [
                (
                    seconds(lambda: run("-m", "pytest", "--exercise", str(step.number), cwd=course)),  # noqa: B023
                    seconds(lambda: run("-m", "pytest", "-q", cwd=empty)),
                    seconds(lambda: run("-c", "import fastapi", cwd=empty)),
                    seconds(lambda: start_uvicorn(step)),  # noqa: B023
                )
                for _ in range(ROUNDS)
            ]
            verdict, *parts = (statistics.median(column) for column in zip(*rows, strict=True))
            ratio = statistics.median(row[0] / sum(row[1:]) for row in rows)
            cells = "".join(f"{value:9.2f}" for value in (verdict, *parts))
            print(f"{step.name:<16}{cells}{ratio:8.2f}{AT_MOST[step.number]:9.2f}", flush=True)
        print(f"{'from a save to':<16}{'right':>9}{'starter':>9}")
        for step in steps():
            cells = "".join(f"{value:9.2f}" for value in from_save_to_verdict(course, step))
            print(f"{step.name:<16}{cells}{'at most':>26}{SAVE_AT_MOST:9.2f}", flush=True)
    whole = seconds(lambda: run("-m", "pytest", "-q", cwd=ROOT))
    print(f"{'all of pytest':<16}{whole:9.1f}{'at most':>44}{WHOLE_AT_MOST:9}")


if __name__ == "__main__":
    main()
