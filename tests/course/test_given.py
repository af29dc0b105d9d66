"""The files that a step gives are copies of their source, byte by byte: nothing is typed, or mended, twice."""

import re
from pathlib import Path

import pytest
from harness.shipped import must_be_as_shipped
from workshop.course import ROOT, Step, exercise_files, find_step, steps

SOURCE = re.compile(r'"""Step (\d\d)(, solution)?: ')
"""The start of a file that other steps may give: it names the step that the file was written for."""
FROM = 8
"""The first step that gives files of other steps."""


def packages(step: Step) -> list[Path]:
    """Return the packages of a step: its lesson, its starter code and its solution."""
    return [step.folder / "app", step.folder / "exercise", step.solution / "exercise"]


def files_of(step: Step) -> list[Path]:
    """Return the Python files of a step's packages."""
    return [path for package in packages(step) for path in sorted(package.glob("*.py"))]


def given_steps() -> pytest.MarkDecorator:
    """Run a test for every step that gives files."""
    return pytest.mark.parametrize("step", steps()[FROM - 1 :], ids=lambda step: step.name)


@given_steps()
def test_copies(step: Step) -> None:
    """A file whose first line names a step, or a step's solution, is the same as in that solution."""
    must_be_as_shipped(step)
    for path in files_of(step):
        if named := SOURCE.match(path.read_text("utf-8")):
            source = find_step(int(named[1])).solution / "exercise" / path.name
            name = source.relative_to(ROOT).as_posix()
            assert source.exists(), f"{path} names {name} in its first line, which doesn't exist"
            assert path.read_bytes() == source.read_bytes(), f"{path} must be a copy of {name}"


@given_steps()
def test_no_other_first_line(step: Step) -> None:
    """No file differs from one of an earlier solution in nothing but its first line."""
    must_be_as_shipped(step)
    for path in files_of(step):
        for earlier in steps()[FROM - 2 : step.number - 1]:
            source = earlier.solution / "exercise" / path.name
            if source.exists() and source.read_bytes() != path.read_bytes():
                rest = path.read_text("utf-8").partition("\n")[2]
                assert rest != source.read_text("utf-8").partition("\n")[2], f"{path} must be a copy of {source}"


@given_steps()
def test_starter(step: Step) -> None:
    """A file of the starter code without a task in it is the same in the solution."""
    must_be_as_shipped(step)
    for path in exercise_files(step.folder):
        text = path.read_text("utf-8")
        if "\nRun it:" not in text and "TODO" not in text:
            assert path.read_bytes() == (step.solution / "exercise" / path.name).read_bytes(), path.name


def test_servers() -> None:
    """The server of step 09 is the solution of step 08, and the lesson of step 11 is the solution of step 10."""
    for number in (9, 11):
        must_be_as_shipped(find_step(number))
    for solved, given, own in (
        (8, find_step(9).folder / "app", {"main.py", "client.py"}),
        (8, find_step(9).folder / "exercise", {"client.py"}),
        (8, find_step(9).solution / "exercise", {"client.py"}),
        (10, find_step(11).folder / "app", {"main.py"}),
    ):
        source = find_step(solved).solution / "exercise"
        names = {path.name for path in source.glob("*.py")}
        assert {path.name for path in given.glob("*.py")} == names | own
        assert all((given / name).read_bytes() == (source / name).read_bytes() for name in names - own)
