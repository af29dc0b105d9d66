"""The diffs in tests/answers/: each fits, is short, and says something of its own; and the tool that writes them."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from harness.answers import NOT_YET, Answer, Files, answers, diff_of, solution_files
from tools.answers import LABELS, header_of, shortest
from workshop.course import ROOT, Step, steps

LONGEST = 60
"""Lines of a diff whose header needs no reason for its length."""
TITLE = "The name is left out."


def each_step() -> pytest.MarkDecorator:
    """Run a test for every step."""
    return pytest.mark.parametrize("step", steps(), ids=lambda step: step.name)


def diffs(step: Step) -> list[Answer]:
    """The answers to a step that are diffs."""
    return [answer for answer in answers() if answer.step == step and answer.is_diff]


def code_of(files: Files) -> str:
    """What files do, whatever their comments, docstrings and layout; the text of a file that Python can't read."""
    parts = []
    for name, text in sorted(files.items()):
        try:
            tree = ast.parse(text)
        except SyntaxError:
            parts += [name, text]
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                node.body = node.body[ast.get_docstring(node) is not None :] or [ast.Pass()]
        parts += [name, ast.unparse(tree)]
    return "\n".join(parts)


class TestDiffs:
    @each_step()
    def test_as_written(self, step: Step) -> None:
        """A diff is what the tool writes: it fits its base exactly, with three lines of context, and no base is better."""
        for answer in diffs(step):
            files = answer.files()
            claims = {label: answer.claim(label) for label in LABELS}
            assert answer.header == header_of(answer.title, claims).rstrip(), f"{answer.name}: the order of its header"
            message = f"{answer.name} isn't as the tool writes it: run python tests/tools/answers.py carry"
            assert diff_of(answer.base_files(), files) == answer.diff, message
            assert shortest(answer, files) == (answer.claim("Base"), answer.diff), message

    @each_step()
    def test_changes_something(self, step: Step) -> None:
        """An answer does something else than its base and than every other one, comments apart."""
        seen = {code_of(solution_files(step)): "the worked solution"}
        for answer in [answer for answer in answers() if answer.step == step]:
            code = code_of(answer.files())
            assert code not in seen, f"{answer.name} says the same as {seen[code]}."
            seen[code] = answer.name

    @each_step()
    def test_short(self, step: Step) -> None:
        """A diff longer than a screen says why."""
        for answer in diffs(step):
            lines = answer.diff.count("\n")
            assert lines <= LONGEST or answer.claim("Long because"), (
                f"{answer.name} has {lines} lines, and {LONGEST} is the limit: change less, "
                "or say why not in its header, after Long because:"
            )

    @each_step()
    def test_whole(self, step: Step) -> None:
        """An answer that's whole holds no file of the solution unchanged."""
        solution = solution_files(step)
        for answer in answers():
            if answer.step == step and answer.path.is_dir():
                for path in answer.path.rglob("*.py"):
                    name = f"exercise/{path.relative_to(answer.path).as_posix()}"
                    if path.name != "__init__.py":
                        assert solution.get(name) != path.read_text("utf-8"), f"{answer.name}: {path.name} is unchanged"
