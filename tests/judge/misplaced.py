"""Find the learner's code in the wrong place: in the lesson, or in a file that isn't part of the step."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

from workshop.course import CHECKPOINTS, ROOT, Step

SHIPPED = Path(__file__).with_name("shipped.json")
"""The SHA-256 of every file in steps/ as the course ships it; tests/tools/shipped.py writes it."""
IGNORED = {"__pycache__", CHECKPOINTS}


def misplaced(step: Step, folder: Path) -> str | None:
    """Return a sentence that names the misplaced file of the learner and the right place, or None.

    Args:
        step: the step.
        folder: the folder to judge; the result is None if it isn't the learner's own.
    """
    if folder.resolve() != step.folder.resolve():
        return None
    prefix = f"steps/{step.name}/"
    shipped = {
        path.removeprefix(prefix): sha
        for path, sha in json.loads(SHIPPED.read_text("utf-8")).items()
        if path.startswith(prefix)
    }
    return find_misplaced(step.folder, shipped, prefix) if shipped else None


def find_misplaced(folder: Path, shipped: Mapping[str, str], prefix: str) -> str | None:
    """Do the same for any folder.

    Args:
        folder: the folder of a step.
        shipped: the SHA-256 of each of its files as the course ships it, by the path in the folder.
        prefix: the start of the path in the sentence, such as `steps/02_echo/`.
    """
    now = sums(folder)
    changed = [path for path, sha in now.items() if shipped.get(path) != sha]
    package = "exercise/main.py" in shipped
    place = "exercise/" if package else "exercise.py"
    lesson = [path for path in changed if path in shipped and not path.startswith("exercise")]
    if lesson and not any(path.startswith(place) for path in changed):
        what = "a module of the lesson" if package else "the lesson"
        undo = f"To undo the change, run git checkout {prefix}{lesson[0]}"
        return f"You changed {lesson[0]}, {what}. Your answer goes into {place}. {undo}."
    for path in changed:
        name = path.rpartition("/")[2]
        if path in shipped or not name.endswith((".py", ".ipynb")):
            continue
        module = name.removesuffix(".py")
        if package and path == f"exercise/{path.removeprefix('exercise/')}" and name.endswith(".py"):
            continue
        # Skip a module that the exercise imports: it's part of the answer.
        if not package and "/" not in path and _imports(folder / "exercise.py", module):
            continue
        advice = f", as exercise/{name}" if package and name.endswith(".py") else ""
        return f"{prefix}{path} isn't part of the step. Your answer goes into {place}{advice}."
    return None


def sums(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file in a folder and its subfolders, sorted by the path in the folder.

    Windows line endings are hashed as Unix ones, because git may convert them.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and not IGNORED.intersection(parts) and not any(part.startswith(".") for part in parts):
            content = path.read_bytes().replace(b"\r\n", b"\n")
            found["/".join(parts)] = hashlib.sha256(content).hexdigest()
    return found


def shipped_now() -> dict[str, str]:
    """Return the SHA-256 of each file in steps/ as it is now, by its path in the course."""
    return {f"steps/{path}": sha for path, sha in sums(ROOT / "steps").items()}


def _imports(path: Path, module: str) -> bool:
    try:
        source = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    return bool(re.search(rf"^\s*(?:from\s+{re.escape(module)}\s+import|import\s+{re.escape(module)})\b", source, re.M))
