"""The record of your verdicts, and the step that JupyterLab opens first."""

import subprocess
import sys
from pathlib import Path

import pytest
from harness.kernels import copy_of_the_course
from workshop import event_log, record
from workshop.course import find_step, steps
from workshop.event_log import EventLog
from workshop.record import current_step, last_verdicts, store

FIRST_PAGE = """
class Section:
    def __getattr__(self, name):
        value = Section()
        setattr(self, name, value)
        return value

get_config = lambda: config
config = Section()
exec(open("jupyter_config.py", encoding="utf-8").read(), {"__file__": "jupyter_config.py", "get_config": get_config})
print(config.LabApp.default_url)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the record in an empty folder."""
    monkeypatch.setattr(event_log, "ROOT", tmp_path)
    monkeypatch.setattr(record, "VERDICTS", EventLog(".verdicts.jsonl"))
    return tmp_path


def test_first_step() -> None:
    """Without a record, the step to continue with is the first one."""
    assert current_step() == steps()[0]


@pytest.mark.parametrize(
    ("verdicts", "number"),
    [
        ([("02_echo", 3, 6)], 2),
        ([("02_echo", 6, 6)], 3),
        ([("02_echo", 6, 6), ("01_hello_world", 2, 5)], 1),
        ([("05_sessions", 2, 14), ("02_echo", 6, 6)], 3),
        ([("no_such_step", 1, 1), ("04_router", 1, 9)], 4),
    ],
)
def test_current_step(verdicts: list[tuple[str, int, int]], number: int) -> None:
    """It's the step that was judged last, or the one after it if that's green."""
    for verdict in verdicts:
        store(*verdict)
    assert current_step().number == number


def test_last_step() -> None:
    """After the last step, it stays the last one."""
    last = steps()[-1]
    store(last.name, 5, 5)
    assert current_step() == last


def test_stored_once(folder: Path) -> None:
    """The same verdict is stored once, and a later one replaces it."""
    for passed in (1, 1, 4):
        store("02_echo", passed, 6)
    assert last_verdicts() == {"02_echo": "4 of 6"}
    assert len((folder / ".verdicts.jsonl").read_text("utf-8").splitlines()) == 2


def test_damaged(folder: Path) -> None:
    """A damaged line, or one of another kind, is left out."""
    (folder / ".verdicts.jsonl").write_bytes(b'{"step": "02_ec\n\xff\n[]\n7\n{"step": "03_rooms"}\n')
    store("02_echo", 1, 6)
    assert last_verdicts() == {"02_echo": "1 of 6"}


def test_read_only(folder: Path) -> None:
    """If the file can't be written, the record lasts as long as this process."""
    (folder / ".verdicts.jsonl").mkdir()
    store("02_echo", 1, 6)
    assert last_verdicts() == {"02_echo": "1 of 6"}


def test_first_page(tmp_path: Path) -> None:
    """JupyterLab opens the workspace of that step first, and `pytest --exercise` stores its verdict."""
    course = copy_of_the_course(tmp_path / "course", solved=False)

    def run(*arguments: str) -> str:
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=course, capture_output=True, text=True, encoding="utf-8", timeout=120).stdout

    assert run("-c", FIRST_PAGE) == "/lab/tree/notebooks/workspaces/01_hello_world.jupyterlab-workspace\n"
    run("-m", "pytest", "--exercise", "2")
    assert run("-c", FIRST_PAGE) == "/lab/tree/notebooks/workspaces/02_echo.jupyterlab-workspace\n"
    assert find_step(2).workspace.name == "02_echo.jupyterlab-workspace"
