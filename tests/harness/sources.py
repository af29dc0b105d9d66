"""Compare the code of a step's files, without its layout."""

import ast
from pathlib import Path


def functions_of(*paths: Path) -> dict[str, str]:
    """Return the source of each function in some files, without its decorators, comments and layout."""
    found = {}
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                node.decorator_list = []
                found[node.name] = ast.unparse(node)
    return found
