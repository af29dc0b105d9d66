"""How long a verdict takes, against what cannot be avoided.

    python tests/bench/speed.py

For each step, `pytest --exercise N` with all checks green is compared with the sum of an empty pytest run,
`import fastapi`, and one start of uvicorn with the same answer. All are measured in turn, several times;
the table shows medians. Last comes a whole run of pytest.
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
from workshop.course import ROOT, Step, steps  # noqa: E402
from workshop.server import Server  # noqa: E402

ROUNDS = 7
AT_MOST = {1: 1.3, 2: 1.3, 3: 2.0, 4: 2.0}
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
    whole = seconds(lambda: run("-m", "pytest", "-q", cwd=ROOT))
    print(f"{'all of pytest':<16}{whole:9.1f}{'at most':>44}{WHOLE_AT_MOST:9}")


if __name__ == "__main__":
    main()
