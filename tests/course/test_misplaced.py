"""Code in the wrong place: in the lesson, or in a file that the step doesn't have."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from harness.shipped import changed_by_reader, must_be_as_shipped
from judge.misplaced import SHIPPED, find_misplaced, misplaced, shipped_now, sums
from workshop.course import ROOT, find_step

EXERCISE = " isn't part of the step. Your answer goes into exercise.py."
UNDO = " To undo the change, run git checkout steps/"
PACKAGE = " isn't part of the step. Your answer goes into exercise/"


def outdated(changed: Sequence[str]) -> list[str]:
    """Return one sentence for each file that shipped.json lists wrongly, except for those that the learner changed."""
    listed, now = json.loads(SHIPPED.read_text("utf-8")), shipped_now()
    return [
        f"tests/judge/shipped.json doesn't match {path}: run python tests/tools/shipped.py."
        for path in sorted(listed | now)
        if listed.get(path) != now.get(path) and path not in changed
    ]


def test_shipped() -> None:
    """shipped.json lists the files in steps/, apart from those that the learner has changed."""
    inside = subprocess.run(["git", "rev-parse", "--is-inside-work-tree"], cwd=ROOT, capture_output=True)
    if inside.returncode:
        pytest.skip("Without git, nothing shows which files in steps/ are yours.")
    sentences = outdated(changed_by_reader())
    assert not sentences, "\n".join(sentences)


def test_outdated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A changed, a new and a missing file get one sentence each, with the command; a learner's file gets none."""
    listing = dict(shipped_now())
    changed, new = list(listing)[:2]
    listing |= {changed: "0", "steps/02_echo/old.py": "0"}
    del listing[new]
    (tmp_path / "shipped.json").write_text(json.dumps(listing), "utf-8")
    monkeypatch.setattr(f"{__name__}.SHIPPED", tmp_path / "shipped.json")
    assert len(outdated([])) == 3
    assert all("python tests/tools/shipped.py" in sentence for sentence in outdated([]))
    assert outdated([changed, new, "steps/02_echo/old.py"]) == []


@pytest.mark.parametrize(
    ("step", "writes", "sentence"),
    [
        ("02_echo", {}, None),
        ("02_echo", {"exercise.py": "app = 1"}, None),
        (
            "02_echo",
            {"main.py": "app = 1"},
            "You changed main.py, the lesson. Your answer goes into exercise.py." + UNDO + "02_echo/main.py.",
        ),
        ("02_echo", {"main.py": "app = 1", "exercise.py": "app = 1"}, None),
        ("02_echo", {"answer.py": ""}, "steps/02_echo/answer.py" + EXERCISE),
        ("02_echo", {"Untitled.ipynb": "{}"}, "steps/02_echo/Untitled.ipynb" + EXERCISE),
        ("02_echo", {"exercise/main.py": ""}, "steps/02_echo/exercise/main.py" + EXERCISE),
        ("02_echo", {"helpers.py": "", "exercise.py": "from helpers import reply"}, None),
        ("02_echo", {"helpers.py": "", "exercise.py": "help = 1"}, "steps/02_echo/helpers.py" + EXERCISE),
        ("02_echo", {"notes.txt": "", "__pycache__/a.py": "", ".ipynb_checkpoints/a.ipynb": "{}"}, None),
        ("04_router", {"exercise/rooms.py": "", "exercise/chat.py": "app = 1"}, None),
        ("04_router", {"exercise/parts/rooms.py": ""}, None),
        ("04_router", {"rooms.py": ""}, f"steps/04_router/rooms.py{PACKAGE}, as exercise/rooms.py."),
        ("04_router", {"app/rooms.py": ""}, f"steps/04_router/app/rooms.py{PACKAGE}, as exercise/rooms.py."),
        ("04_router", {"exercise/a.ipynb": "{}"}, f"steps/04_router/exercise/a.ipynb{PACKAGE}."),
        (
            "04_router",
            {"app/chat.py": "app = 1"},
            "You changed app/chat.py, a module of the lesson. Your answer goes into exercise/."
            + UNDO
            + "04_router/app/chat.py.",
        ),
    ],
)
def test_find_misplaced(step: str, writes: dict[str, str], sentence: str | None, tmp_path: Path) -> None:
    """A changed lesson next to an untouched exercise, and new files."""
    folder = tmp_path / step
    shutil.copytree(ROOT / "steps" / step, folder, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    shipped = sums(folder)
    for name, text in writes.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    assert find_misplaced(folder, shipped, f"steps/{step}/") == sentence


def test_line_ends(tmp_path: Path) -> None:
    """A file with Windows line endings isn't a changed one."""
    before = (tmp_path / "main.py", b"a\nb\n")
    after = (tmp_path / "main.py", b"a\r\nb\r\n")
    results = []
    for path, content in (before, after):
        path.write_bytes(content)
        results.append(sums(tmp_path))
    assert results[0] == results[1]


def test_own_folder_only() -> None:
    """There's no sentence for the worked solution, or for a step that the learner hasn't changed."""
    step = find_step(2)
    assert misplaced(step, step.solution) is None
    must_be_as_shipped(step)
    assert misplaced(step, step.folder) is None
