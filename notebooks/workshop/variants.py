"""Copies of the course's code with a change, to show what the change does."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .course import CourseError, find_step


@contextlib.contextmanager
def variant(step: int | str, file: str, code: str, *, part: str = "exercise", **more: str) -> Iterator[Path]:
    """Yield a folder with a copy of a worked solution whose file ends with more code, and delete it at the end.

    Args:
        step: the step's number or folder name.
        file: the file in the package, such as `manager.py`.
        code: the code to append. A function replaces an earlier one of the same name.
        part: the package to copy: `exercise`, the worked solution, or `app`, the lesson.
        more: code to append to further files of the package, by module name, such as `source="..."`.

    Raises:
        CourseError: there's no such step, or no such package.
    """
    found = find_step(step)
    if part not in ("exercise", "app"):
        raise CourseError(f'A variant copies the part "exercise" or "app", not {part!r}.')
    package = found.solution / part if part == "exercise" else found.folder / part
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / found.name
        copy = folder / part
        shutil.copytree(package, copy)
        if part == "app":
            # A lesson serves the page from the folder next to its own.
            shutil.copytree(found.folder.parent / "page", Path(root) / "page")
        for name, appended_code in {file: code, **{f"{module}.py": text for module, text in more.items()}}.items():
            with (copy / name).open("a", encoding="utf-8") as appended:
                appended.write(appended_code)
        yield folder


@contextlib.contextmanager
def lesson_variant(step: int | str, file: str, old: str, new: str) -> Iterator[Path]:
    """Yield a folder with a copy of a lesson in which some code is replaced, and delete the folder in the end.

    Args:
        step: the step's number or folder name. Its lesson is a package.
        file: the file in the folder `app`, such as `main.py`.
        old: the code to replace, which is in the file once.
        new: the code that replaces it.

    Raises:
        CourseError: there's no such step, or the code isn't in the file once.
    """
    lesson = find_step(step).folder / "app"
    source = (lesson / file).read_text("utf-8")
    if source.count(old) != 1:
        raise CourseError(f"{file} of the lesson has {old!r} {source.count(old)} times, not once.")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "app"
        shutil.copytree(lesson, copy)
        (copy / file).write_text(source.replace(old, new), "utf-8")
        yield Path(folder)
