"""The journal of step 08 keeps every acknowledged message, even if the disk is full or the file is damaged."""

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
"""The folders of the journals to test. The other packages with a journal have a copy of this one."""
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
    """Load the module `journal.py` of a solution or a starter."""
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
    """Read the file as a server does at its start, and return the ids in it."""
    file = journal.Journal(str(path))
    try:
        return [record.id for record in file.read()]
    finally:
        file.close()


def test_torn_line(journal: ModuleType, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """If the last line lacks its end, it's cut off and logged, and the next message gets a separate line."""
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
    """A damaged line is logged with its number and skipped, and the ids after it stay the same."""
    path = tmp_path / "journal"
    lines = written(journal, path, 5)
    path.write_bytes(b"".join([*lines[:2], damage + b"\n", *lines[3:]]))
    with caplog.at_level(logging.WARNING):
        assert ids(journal, path) == [1, 2, 4, 5]
    assert [record.getMessage() for record in caplog.records] == [f"{path}: line 3 is damaged, and is left out."]


def test_whole_lines(journal: ModuleType, tmp_path: Path) -> None:
    """Each message is one line of JSON, even if its text contains line breaks."""
    lines = written(journal, tmp_path / "journal", 2)
    assert [json.loads(line)["text"] for line in lines] == ["줄 1\n", "줄 2\n"]


def test_without_a_file(journal: ModuleType) -> None:
    """Without a path, no message is written or read."""
    memory = journal.Journal(None)
    memory.append(journal.Record(room="lobby", id=1, sender="Ada", text="hello"))
    assert memory.read() == []
    memory.close()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: "-".join(folder.parts[-3:-1]))
def test_full_disk(folder: Path, tmp_path: Path) -> None:
    """If a full disk takes only part of a message, or nothing, the message is rejected. Other lines stay valid."""
    pytest.importorskip("resource")
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(folder.parent)!r})\n{FULL_DISK}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, encoding="utf-8", timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("a message can't be written") == 2


def test_emptied_file(journal: ModuleType, tmp_path: Path) -> None:
    """If the file is emptied while the server runs, new messages are whole lines again, even after a failed write."""
    path = tmp_path / "journal"
    file = journal.Journal(str(path))
    for number in (1, 2, 3):
        if number == 3:
            file.is_torn = True  # Simulate the state after a failed write.
            path.write_bytes(b"")
        file.append(journal.Record(room="lobby", id=number, sender="Ada", text="hello"))
    file.close()
    assert ids(journal, path) == [3]
