"""Options of the course's pytest: `--exercise N` judges the reader's own answer to a step."""

import json
from pathlib import Path

import pytest
from workshop.course import CourseError, find_step
from workshop.server import Server


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("course")
    group.addoption("--exercise", metavar="N", help="judge your own answer to step N, steps/NN_name/exercise.py")
    group.addoption("--exercise-report", metavar="FILE", type=Path, help="write the verdict to FILE too, as JSON")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    which = config.option.exercise
    if which is None:
        return None
    try:
        step = find_step(which)
    except CourseError as error:
        raise pytest.UsageError(str(error)) from None
    first = Server(step.target("exercise"), step.folder)
    # It boots while the clients and the checks are imported.
    from judge.judge import Judge

    verdict = Judge(step, step.folder, first).run()
    print(verdict)
    if config.option.exercise_report:
        report = {
            "step": step.name.replace("_", " "),
            "checks": [
                {"number": str(check.number), "title": check.title, "state": verdict.state(check)}
                for check in verdict.checks
            ],
            "explanation": verdict.explanation,
            "text": str(verdict),
        }
        config.option.exercise_report.write_text(json.dumps(report), "utf-8")
    return pytest.ExitCode.OK if verdict.failed is None else pytest.ExitCode.TESTS_FAILED
