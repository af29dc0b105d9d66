"""The test functions of a suite, and what the result of each depends on."""

import ast
import hashlib
from dataclasses import dataclass
from pathlib import Path

from workshop.course import exercise_files

GIVEN = "main.py"
"""The server's file. A run puts another one in its place, so no result depends on it."""


@dataclass(frozen=True)
class Contents:
    """The code of a suite, without the server.

    Args:
        shared: a hash of everything outside the test functions: fixtures, helpers, imports.
        functions: by the id of a test function, a hash of its code.
        whole: a hash of all files.
    """

    shared: str
    functions: dict[str, str]
    whole: str

    def key(self, unit: str) -> str:
        """Return what the result of a test function depends on."""
        # A test that no `def` makes, as hypothesis builds from a class, depends on everything.
        return f"{self.shared} {self.functions[unit]}" if unit in self.functions else self.whole


def contents_of(folder: Path) -> Contents:
    """Read a suite.

    Args:
        folder: the folder above the package `exercise`.
    """
    shared, whole = hashlib.sha256(), hashlib.sha256()
    functions = {}
    package = folder / "exercise"
    for path in exercise_files(folder):
        if path == package / GIVEN:
            continue
        name = path.relative_to(folder).as_posix()
        text = path.read_text("utf-8", "replace")
        whole.update(f"{name}\0{text}\0".encode("utf-8", "replace"))
        found = _functions_in(text) if path.name.startswith("test_") or path.name.endswith("_test.py") else {}
        lines = text.splitlines()
        for unit, (first, last) in found.items():
            code = "\n".join(text.splitlines()[first:last])
            functions[f"{name}::{unit}"] = hashlib.sha256(code.encode("utf-8", "replace")).hexdigest()
            # Keep the name: a test that another one calls is shared code, and so is a removed test.
            lines[first:last] = [f"{unit}"] + [""] * (last - first - 1)
        shared.update(f"{name}\0{chr(0).join(line for line in lines if line)}\0".encode("utf-8", "replace"))
    return Contents(shared.hexdigest(), functions, whole.hexdigest())


def _functions_in(text: str) -> dict[str, tuple[int, int]]:
    """Return the lines of each test function, by its id in the file: the first one, counted from 0, and the end."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return {}
    found = {}

    def add(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef):
                add(node.body, f"{prefix}{node.name}::")
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
                first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
                found[f"{prefix}{node.name}"] = (first - 1, node.end_lineno or node.lineno)

    add(tree.body, "")
    return found
