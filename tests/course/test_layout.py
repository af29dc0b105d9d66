"""The folders: no stray files at the top; each file in tests/ is short, and tests/README.md describes it."""

import re
import subprocess

from workshop.course import ROOT

TESTS = ROOT / "tests"
MAX_LINES = 600
TOP_LEVEL = {
    ".gitattributes",
    ".gitignore",
    "LICENSE",
    "README.md",
    "constraints.txt",
    "jupyter_config.py",
    "pyproject.toml",
    "requirements.in",
    "requirements.txt",
}
"""The files next to the folders."""


def test_top_level() -> None:
    """No other file is tracked at the top level."""
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    # A downloaded course isn't a repository, and may have files of the learner.
    if done.returncode == 0:
        assert {name for name in done.stdout.splitlines() if "/" not in name} <= TOP_LEVEL


def test_files_are_short() -> None:
    """Every file in tests/ is short, except the answers, which have the shape of the exercises."""
    sentences = []
    for path in sorted(TESTS.rglob("*.py")):
        lines = len(path.read_text("utf-8").splitlines())
        if lines > MAX_LINES and path.relative_to(TESTS).parts[0] != "answers":
            name = path.relative_to(ROOT).as_posix()
            sentences.append(f"{name} has {lines} lines: split it by subject; {MAX_LINES} is the limit.")
    assert not sentences, "\n".join(sentences)


def test_page_lists_all() -> None:
    """tests/README.md lists every folder of tests/ and every test of the course, and nothing else."""
    page = (TESTS / "README.md").read_text("utf-8")
    rows = re.findall(r"^\| `(.+?)` \| \S", page, re.MULTILINE)
    folders = {f"{path.name}/" for path in TESTS.iterdir() if path.is_dir() and path.name != "__pycache__"}
    tests = {path.name for path in (TESTS / "course").glob("test_*.py")}
    assert sorted(rows) == sorted(folders | tests | {"conftest.py"})
