"""The files in tests/: each is about one subject, and short enough to read."""

from workshop.course import ROOT

MAX_LINES = 600


def test_files_are_short() -> None:
    """Every file in tests/ is short, except the answers, which have the shape of the exercises."""
    tests = ROOT / "tests"
    sentences = []
    for path in sorted(tests.rglob("*.py")):
        lines = len(path.read_text("utf-8").splitlines())
        if lines > MAX_LINES and path.relative_to(tests).parts[0] != "answers":
            name = path.relative_to(ROOT).as_posix()
            sentences.append(f"{name} has {lines} lines: split it by subject; {MAX_LINES} is the limit.")
    assert not sentences, "\n".join(sentences)
