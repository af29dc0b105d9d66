"""What a file of a step says, apart from how it is laid out."""

import ast
from pathlib import Path


def functions_of(*paths: Path) -> dict[str, str]:
    """The functions of some files, as Python sees them, without their decorators."""
    found = {}
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                node.decorator_list = []
                found[node.name] = ast.unparse(node)
    return found
