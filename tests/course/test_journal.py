"""The journal of step 08 keeps every acknowledged message: on a full disk, and on a file that's damaged."""

import importlib.util
import json
import logging
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from workshop.course import find_step

pytestmark = pytest.mark.thorough("journal")

FOLDERS = [find_step(8).solution / "exercise"]
"""The other packages with a journal have a copy of this one."""
FULL_DISK = """
import os
import resource
import sys

from exercise.journal import Journal, Record

journal = Journal("journal")
journal.read()
refused = []
for number in range(1, 8):
    # The third and the fifth message meet a file that takes ten more bytes, or one that takes no more.
    size = os.path.getsize("journal")
    limit = {3: size + 10, 5: size}.get(number, resource.RLIM_INFINITY)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        journal.append(Record(room="lobby", id=number, sender="Ada", text=f"text {number}"))
    except OSError:
        refused.append(number)
assert refused == [3, 5], refused
assert [record.id for record in Journal("journal").read()] == [1, 2, 4, 6, 7]
"""


@pytest.fixture(params=FOLDERS, ids=lambda folder: "-".join(folder.parts[-3:-1]))
def journal(request: pytest.FixtureRequest) -> ModuleType:
    """The module `journal.py` of a solution or a starter."""
    spec = importlib.util.spec_from_file_location("journal", request.param / "journal.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def written(journal: ModuleType, path: Path, count: int) -> list[bytes]:
    """Write this many messages, and return their lines."""
    file = journal.Journal(str(path))
    for number in range(1, count + 1):
        file.append(journal.Record(room="lobby", id=number, sender="Ada", text=f"줄 {number}\n", key=f"k{number}"))
    file.close()
    return path.read_bytes().splitlines(keepends=True)


def ids(journal: ModuleType, path: Path) -> list[int]:
    """Read the file as a server does when it starts, and return the ids in it."""
    file = journal.Journal(str(path))
    try:
        return [record.id for record in file.read()]
    finally:
        file.close()


def test_torn_line(journal: ModuleType, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A last line without its end is cut off and logged, and the next message gets a line of its own."""
    path = tmp_path / "journal"
    lines = written(journal, path, 3)
    path.write_bytes(b"".join(lines[:2]) + lines[2][:20])
    file = journal.Journal(str(path))
    with caplog.at_level(logging.WARNING):
        assert [record.id for record in file.read()] == [1, 2]
    assert [record.getMessage() for record in caplog.records] == [f"{path}: line 3 has no end, and is cut off."]
    file.append(journal.Record(room="lobby", id=3, sender="Ada", text="again"))
    file.close()
    assert ids(journal, path) == [1, 2, 3]


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe", b"{}", b'{"room":"lobby","id":{"room":"lobby","id":3}', b"null"])
def test_damaged_line(journal: ModuleType, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: bytes) -> None:
    """A damaged line is logged with its number and left out, and the ids after it stay."""
    path = tmp_path / "journal"
    lines = written(journal, path, 5)
    path.write_bytes(b"".join([*lines[:2], damage + b"\n", *lines[3:]]))
    with caplog.at_level(logging.WARNING):
        assert ids(journal, path) == [1, 2, 4, 5]
    assert [record.getMessage() for record in caplog.records] == [f"{path}: line 3 is damaged, and is left out."]


def test_whole_lines(journal: ModuleType, tmp_path: Path) -> None:
    """Each message is one line of JSON, whatever is in its text."""
    lines = written(journal, tmp_path / "journal", 2)
    assert [json.loads(line)["text"] for line in lines] == ["줄 1\n", "줄 2\n"]


def test_without_a_file(journal: ModuleType) -> None:
    """Without a path, nothing is written or read."""
    memory = journal.Journal(None)
    memory.append(journal.Record(room="lobby", id=1, sender="Ada", text="hello"))
    assert memory.read() == []
    memory.close()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: "-".join(folder.parts[-3:-1]))
def test_full_disk(folder: Path, tmp_path: Path) -> None:
    """What a full disk takes in part, or not at all, is refused, and doesn't spoil the lines around it."""
    pytest.importorskip("resource")
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(folder.parent)!r})\n{FULL_DISK}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, encoding="utf-8", timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("a message can't be written") == 2


def test_emptied_file(journal: ModuleType, tmp_path: Path) -> None:
    """A file that was emptied while the server runs takes whole lines again, also after a write that failed."""
    path = tmp_path / "journal"
    file = journal.Journal(str(path))
    for number in (1, 2, 3):
        if number == 3:
            file.is_torn = True  # As after a write that failed.
            path.write_bytes(b"")
        file.append(journal.Record(room="lobby", id=number, sender="Ada", text="hello"))
    file.close()
    assert ids(journal, path) == [3]
