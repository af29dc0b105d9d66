"""The files that a step provides are copies of their source, byte by byte, so each bug is fixed in one place."""

import pytest
from harness.shipped import must_be_as_shipped
from tools.given import FROM, files_of, source_of
from workshop.course import Step, exercise_files, find_step, steps


def given_steps() -> pytest.MarkDecorator:
    """Parametrize a test over every step that provides files."""
    return pytest.mark.parametrize("step", steps()[FROM - 1 :], ids=lambda step: step.name)


@given_steps()
def test_copies(step: Step) -> None:
    """A file whose first line names a step, or a step's solution, is the same as in that solution."""
    must_be_as_shipped(step)
    for path in files_of(step):
        if source := source_of(path):
            assert source.exists(), f"{path} names {source} in its first line, which doesn't exist"
            assert path.read_bytes() == source.read_bytes(), f"{path} isn't {source}: run python tests/tools/given.py"


@given_steps()
def test_no_other_first_line(step: Step) -> None:
    """No file differs from a file of an earlier solution only in its first line."""
    must_be_as_shipped(step)
    for path in files_of(step):
        for earlier in steps()[FROM - 2 : step.number - 1]:
            source = earlier.solution / "exercise" / path.name
            if source.exists() and source.read_bytes() != path.read_bytes():
                rest = path.read_text("utf-8").partition("\n")[2]
                # A package's first line may be all there is.
                assert not rest or rest != source.read_text("utf-8").partition("\n")[2], (
                    f"{path} must be a copy of {source}"
                )


@given_steps()
def test_starter(step: Step) -> None:
    """A file of the starter code that contains no task is the same in the solution."""
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
