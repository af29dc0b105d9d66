"""The lines of a journal, for the checks of step 08: what they show, and damage to them."""

import contextlib
import json
from pathlib import Path

from judge.rejoining import CHANGES, quoted

KEY_CHANGED = "In the file, the key {key} of message {number} is {stored}{change}. Pass the key to Record unchanged."
CHANGED = (
    "The journal or the replay changes this value, or loses its line. Pass room, name, text and key to Record "
    "unchanged. If you have changed journal.py, split the file only at b'\\n'."
)


def changed_key(journal: Path, room: str, sent: list[str]) -> str:
    """Return the likely cause, from the file, if a key of this room isn't known after a start, or has another id.

    Args:
        journal: the file.
        room: the room.
        sent: the keys of its messages, by id from 1 on.
    """
    for record in map(json.loads, lines(journal)):
        number = record.get("id")
        if record.get("room") != room or not isinstance(number, int) or not 0 < number <= len(sent):
            continue
        key, stored = sent[number - 1], record.get("key", "")
        if isinstance(stored, str) and stored != key:
            return KEY_CHANGED.format(
                key=quoted(key), number=number, stored=quoted(stored), change=_change(key, stored)
            )
    return CHANGED


def _change(key: str, stored: str) -> str:
    """Name the function that turns the first string into the second; empty if none is known."""
    for name, function in CHANGES.items():
        with contextlib.suppress(ValueError):
            if function(key) == stored:
                return f", as after {name}"
    return ""


def lines(journal: Path) -> list[bytes]:
    """Return the lines of a journal that are the JSON of a message, as `journal.py` writes them."""
    found = []
    for line in journal.read_bytes().split(b"\n")[:-1] if journal.is_file() else ():
        with contextlib.suppress(ValueError):
            if isinstance(json.loads(line), dict) and b'"text' in line:
                found.append(line + b"\n")
    return found


def damaged(lines: list[bytes]) -> bytes:
    """Return lines with the damage that a power cut or a bad disk may cause, and half a line at their end."""
    changed = list(lines)
    changed[1] = lines[1][:20] + b"\n"
    middle = len(lines[3]) // 2
    changed[3] = lines[3][: middle - 8] + bytes(16) + lines[3][middle + 8 :]
    changed[5] = lines[5].replace(b"text", b"\xff\xfe\xed\xa0")
    changed[6] = b"\n"
    changed[8] = b"null\n{}\n"
    # End inside a character of several bytes.
    return b"".join([*changed, lines[10][: lines[10].index("한".encode()) + 1]])
