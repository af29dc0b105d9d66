"""Messages: how a failure shows them, and whether one is the expected one."""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from .differences import difference, escaped


def show(message: object) -> str:
    """A message as a reader should see it: quoted, and not longer than a line or two."""
    if isinstance(message, bytes):
        return f"a binary frame {cut(repr(message))}"
    if isinstance(message, str):
        return f'the text "{cut(message)}"' if message else "an empty text"
    return cut(json.dumps(message, ensure_ascii=False))


def cut(text: str) -> str:
    """Return a text as one line of a failure: without invisible characters, and cut after 100 characters."""
    return escaped(text) if len(text) <= 120 else f"{escaped(text[:100])}... ({len(text)} characters)"


def is_message(frame: str | bytes, expected: str | dict[str, Any]) -> bool:
    """Whether a frame is this text, or JSON equal to this object in a text message."""
    if isinstance(expected, str):
        return frame == expected
    return isinstance(frame, str) and same(parsed(frame), expected)


def only_key(expected: str | dict[str, Any], frame: str | bytes) -> str:
    """Return the only key whose value differs from the expected object's; empty if more or less than that differs."""
    value = parsed(frame)
    if not isinstance(expected, dict) or not isinstance(value, dict) or value.keys() != expected.keys():
        return ""
    differing = [key for key in expected if not same(value[key], expected[key])]
    return differing[0] if len(differing) == 1 else ""


NOTHING: Mapping[str, Any] = MappingProxyType({})
"""The further keys of an error that has none."""


def is_error(frame: str | bytes, more: Mapping[str, Any] = NOTHING) -> bool:
    """Whether a frame is `{"type": "error", "detail": a text that is not empty}`, with these further keys."""
    value = parsed(frame) if isinstance(frame, str) else None
    detail = value.get("detail") if isinstance(value, dict) else None
    return isinstance(detail, str) and bool(detail) and same(value, {"type": "error", "detail": detail, **more})


def differing_key(frame: str | bytes, more: Mapping[str, Any]) -> str:
    """Return the first of the further keys in which an error differs from the expected one; empty if none does."""
    value = parsed(frame) if isinstance(frame, str) else None
    if not isinstance(value, dict) or value.get("type") != "error":
        return ""
    found = {key: each for key, each in value.items() if key not in ("type", "detail")}
    keys = sorted(found.keys() | more.keys())
    return next((key for key in keys if not (key in found and key in more and same(found[key], more[key]))), "")


def not_an_error(frame: str | bytes, more: Mapping[str, Any] = NOTHING) -> str | None:
    """Explain a message that came instead of an error, or None if it's something else than a malformed error."""
    value = parsed(frame) if isinstance(frame, str) else None
    if not isinstance(value, dict):
        # A text that isn't meant as an error at all is explained by the check.
        looks_like_one = isinstance(frame, bytes) or "error" in frame
        return difference({"type": "error", "detail": "..."}, frame) if looks_like_one else None
    if value.get("type") != "error":
        return None
    keys = ["type", "detail", *more]
    if surplus := sorted(str(key) for key in value.keys() - keys):
        *first, last = keys
        return f"An error has exactly the keys {', '.join(first)} and {last}. Remove {', '.join(surplus)}."
    if "detail" not in value:
        return "The error lacks the key detail. Add a sentence of yours under it."
    return "detail must be a string that isn't empty. If it's an exception, str() of it may be empty: write a sentence."


def carries(frame: str | bytes, text: str) -> bool:
    """Whether a frame is this text, or JSON with the same text in it."""
    if not isinstance(frame, str) or not text:
        return False
    if frame == text:
        return True
    one, other = parsed(frame), parsed(text)
    if not isinstance(one, dict) or not one.get("text"):
        return False
    return one["text"] == (other.get("text") if isinstance(other, dict) else text)


def parsed(text: str | bytes) -> Any:
    """Return the JSON value of a text, or the text itself if it isn't JSON."""
    try:
        return json.loads(text) if isinstance(text, str) else text
    except (ValueError, RecursionError):
        return text


def same(one: Any, other: Any) -> bool:
    """Compare as JSON does: `true` is not 1, and the order of keys does not matter."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
