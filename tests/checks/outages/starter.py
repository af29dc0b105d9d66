"""Step 11: whether an answer has changed a file of the starter that isn't part of its tasks."""

import ast
import contextlib
from collections.abc import Iterator
from pathlib import Path

from judge.model import Failure
from judge.subject import Subject
from workshop.course import find_step

CHAT = 'chat.py sends an error for BrokerUnavailable, with the message\'s key and "retry": true if it has a key'


@contextlib.contextmanager
def suspecting(subject: Subject, file: str, does: str) -> Iterator[None]:
    """Name this file as the cause of each failure in the context, if it differs from the starter's.

    Args:
        subject: the answer.
        file: the file's name, such as `chat.py`.
        does: what this file does in the starter, in half a sentence.
    """
    try:
        yield
    except Failure as failure:
        if _code(subject.folder, file) != _code(find_step(11).folder, file):
            failure.certain = True
            failure.likely = f"Your {file} isn't the starter's. In the starter, {does}: leave {file} as it is."
        raise


def _code(folder: Path, file: str) -> str:
    """Return the code of a file without its comments and line breaks, or an empty string without this file."""
    try:
        return ast.dump(ast.parse((folder / "exercise" / file).read_text(encoding="utf-8")))
    except (OSError, SyntaxError, ValueError):
        return ""
