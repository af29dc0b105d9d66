"""Measure how long a verdict takes, compared with the time that can't be avoided.

    python tests/bench/speed.py
    python tests/bench/speed.py 6 9      only these steps

For each step, `pytest --exercise N` with all checks green is compared with its floor: the sum of an empty pytest
run, `import fastapi`, and one cold start of uvicorn with the same answer. Next to it are the red verdict of the
starter code, and the hard cases, which run after the green one.
Then come the seconds from a save to the verdict in the live card, for the worked solution and for the starter.
All are measured in turn, several times; the tables show medians, and their limits.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent / "notebooks")]

from harness.kernels import copy_of_the_course  # noqa: E402
from workshop.course import Step, exercise_files, steps  # noqa: E402
from workshop.server import Server  # noqa: E402

ROUNDS = 7
SUITE_ROUNDS = 1
"""The number of rounds for a step whose exercise is a test suite, because each takes minutes."""
TIMES_THE_FLOOR = {1: 1.3, 2: 1.3, 3: 1.3, 4: 1.3, 5: 1.3}
"""The longest green verdict of a step, in floors."""
GREEN_SECONDS = {6: 3.0, 7: 3.0, 8: 3.0, 9: 5.0, 10: 5.0, 11: 9.0, 12: 120.0}
"""The longest green verdict of a step whose exercise is about time, or a test suite, in seconds. The worked solution of
step 12 needs about 55 runs, which take 210 s together: right servers that start late, and deadlines on silent ones."""
RED_SECONDS = dict.fromkeys(range(1, 11), 3.0) | {11: 4.5, 12: 5.0}
"""The longest first verdict of a starter, in seconds. The checks of step 11 start about twenty processes first."""
SAVE_SECONDS = {1: 1.0, 2: 2.0, 3: 2.0, 4: 2.0, 5: 2.0} | GREEN_SECONDS | {12: 25.0}
"""The longest time from a save to the verdict of a worked solution in the card, in seconds. In a suite, the save
changes one test, which needs about 25 runs. Each takes at least a second, for the start and the end of its server."""
HARD_SECONDS = dict.fromkeys(range(1, 6), 5.0) | dict.fromkeys(range(6, 13), 15.0)
"""The longest time that the hard cases of a step may take after the verdict, in seconds."""
TIER_SECONDS = {9: (120, 600)}
"""By the number of steps, the longest `pytest` and the longest `pytest --all` on two cores, in seconds."""
STEP_ADDS = (10, 60)
"""Seconds that each later step may add to the one and to the other."""


def tier_seconds(count: int) -> tuple[int, int]:
    """Return the longest `pytest` and the longest `pytest --all` with this number of steps, in seconds."""
    before = max(number for number in TIER_SECONDS if number <= count)
    first, second = TIER_SECONDS[before]
    return first + STEP_ADDS[0] * (count - before), second + STEP_ADDS[1] * (count - before)


def run(*command: str, cwd: Path, status: int = 0) -> None:
    """Run a command that must end with this status."""
    done = subprocess.run([sys.executable, *command], cwd=cwd, stdout=subprocess.DEVNULL)
    assert done.returncode == status, command


def seconds(work: Callable[[], None]) -> float:
    """Return how long a piece of work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def green_and_hard(command: tuple[str, ...], cwd: Path) -> tuple[float, float]:
    """Return how long the judge takes to print a green verdict, and how long the hard cases take after it."""
    begin = time.perf_counter()
    with subprocess.Popen([sys.executable, *command], cwd=cwd, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        green = time.perf_counter()
        process.stdout.read()
    assert process.returncode == 0, command
    return green - begin, time.perf_counter() - green


def start_uvicorn(step: Step) -> None:
    """Start the solution of a step in a new Python, wait until it accepts connections, and end it."""
    with Server(step.target("exercise"), step.solution, cold=True):
        pass


def rounds_of(step: Step) -> int:
    """Return the number of rounds for a step."""
    return SUITE_ROUNDS if step.is_suite else ROUNDS


def changed(text: str, number: int, step: Step) -> str:
    """Return the text of a file with a change: a comment at its end, or in a suite another text in one test."""
    if step.is_suite:
        return text.replace('"still here"', f'"still here {number}"')
    return f"{text}\n# {number}\n"


def from_save_to_verdict(course: Path, step: Step) -> tuple[float, float]:
    """Return the median seconds from saving an answer to its verdict, for the solution and for the starter."""
    command = [sys.executable, "-m", "pytest", "--exercise", str(step.number), "--watch", "--events"]
    files = [path.relative_to(step.folder) for path in exercise_files(step.folder)]
    taken: dict[Path, list[float]] = {step.solution: [], step.folder: []}
    with subprocess.Popen(command, cwd=course, stdout=subprocess.PIPE, text=True, encoding="utf-8") as process:
        assert process.stdout is not None
        events = (json.loads(line) for line in process.stdout)
        verdicts = (event for event in events if not event["running"])

        def wait_for_hard_cases(event: dict[str, Any]) -> None:
            if event["hard"] and event["hard"]["running"]:
                next(verdicts)

        wait_for_hard_cases(next(verdicts))
        for round_number in range(rounds_of(step)):
            for source, times in taken.items():
                start = time.perf_counter()
                for file in files:
                    text = (source / file).read_text("utf-8") if (source / file).exists() else ""
                    (course / "steps" / step.name / file).write_text(changed(text, round_number, step), "utf-8")
                verdict = next(verdicts)
                times.append(time.perf_counter() - start)
                wait_for_hard_cases(verdict)
        process.terminate()
    return statistics.median(taken[step.solution]), statistics.median(taken[step.folder])


def row(name: str, *values: float) -> None:
    """Print a row of a table."""
    print(f"{name:<16}" + "".join(f"{value:9.2f}" for value in values), flush=True)


def heading(*columns: str) -> None:
    """Print the first row of a table."""
    print(f"\n{'step':<16}" + "".join(f"{column:>9}" for column in columns))


def main(numbers: set[int]) -> None:
    """Print the tables.

    Args:
        numbers: the numbers of the steps; an empty set for all steps.
    """
    chosen = [step for step in steps() if step.number in numbers or not numbers]
    with tempfile.TemporaryDirectory() as folder:
        solved = copy_of_the_course(Path(folder) / "solved", solved=True)
        starter = copy_of_the_course(Path(folder) / "starter", solved=False)
        empty = Path(folder) / "empty"
        empty.mkdir()
        (empty / "test_nothing.py").write_text("def test_nothing():\n    pass\n", "utf-8")
        print(f"medians of {ROUNDS} rounds, and {SUITE_ROUNDS} for a suite, in seconds")
        heading("pytest", "import", "uvicorn", "green", "floors", "at most", "red", "at most", "hard", "at most")
        for step in chosen:
            judge = ("-m", "pytest", "--exercise", str(step.number))
            rounds = []
            for _ in range(rounds_of(step)):
                floor = (
                    seconds(lambda: run("-m", "pytest", "-q", cwd=empty)),
                    seconds(lambda: run("-c", "import fastapi", cwd=empty)),
                    seconds(lambda: start_uvicorn(step)),  # noqa: B023
                )
                green, hard = green_and_hard(judge, solved)
                red = seconds(lambda: run(*judge, cwd=starter, status=1))  # noqa: B023
                rounds.append((*floor, green, green / sum(floor), red, hard))
            *floor, green, floors, red, hard = (statistics.median(column) for column in zip(*rounds, strict=True))
            limit = GREEN_SECONDS.get(step.number) or TIMES_THE_FLOOR[step.number] * sum(floor)
            row(step.name, *floor, green, floors, limit, red, RED_SECONDS[step.number], hard, HARD_SECONDS[step.number])
        print("\nfrom a save to the verdict in the card", end="")
        heading("solution", "at most", "starter", "at most")
        for step in chosen:
            solution, first = from_save_to_verdict(solved, step)
            row(step.name, solution, SAVE_SECONDS[step.number], first, RED_SECONDS[step.number])
    first, second = tier_seconds(len(steps()))
    print(f"\nOn two cores, pytest may take {first} s and pytest --all {second} s; each says how long it took.")


if __name__ == "__main__":
    main({int(number) for number in sys.argv[1:]})
