"""Show received messages in a failure, and compare them with the expected ones."""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from .differences import difference, escaped


def show(message: object) -> str:
    """Return a message as a failure shows it: quoted, and at most two lines long."""
    if isinstance(message, bytes):
        return f"a binary frame {cut(repr(message))}"
    if isinstance(message, str):
        if len(message) > 120 and is_error(message, _more(message)):
            # Shorten the sentence, so that the keys after it are shown too.
            message = json.dumps(
                {**parsed(message), "detail": f"{parsed(message)['detail'][:20]}..."}, ensure_ascii=False
            )
        return f'the text "{cut(message)}"' if message else "an empty text"
    return cut(json.dumps(message, ensure_ascii=False))


def _more(frame: str) -> dict[str, Any]:
    """Return the further keys of an error."""
    value = parsed(frame) if len(frame) <= 1000 else None
    return (
        {key: each for key, each in value.items() if key not in ("type", "detail")} if isinstance(value, dict) else {}
    )


def cut(text: str) -> str:
    """Return a string as one line of a failure: without invisible characters, and cut after 100 characters."""
    return escaped(text) if len(text) <= 120 else f"{escaped(text[:100])}... ({len(text)} characters)"


def is_message(frame: str | bytes, expected: str | dict[str, Any]) -> bool:
    """Return whether a message is this string, or a text message with JSON equal to this object."""
    if isinstance(expected, str):
        return frame == expected
    return isinstance(frame, str) and same(parsed(frame), expected)


def only_key(expected: str | dict[str, Any], frame: str | bytes) -> str:
    """Return the only key whose value differs from the expected object's; empty if more or nothing differs."""
    value = parsed(frame)
    if not isinstance(expected, dict) or not isinstance(value, dict) or value.keys() != expected.keys():
        return ""
    differing = [key for key in expected if not same(value[key], expected[key])]
    return differing[0] if len(differing) == 1 else ""


NOTHING: Mapping[str, Any] = MappingProxyType({})
"""The default for `more`: an error without further keys."""


def is_error(frame: str | bytes, more: Mapping[str, Any] = NOTHING) -> bool:
    """Return whether a message is `{"type": "error", "detail": a non-empty string}` with these further keys."""
    value = parsed(frame) if isinstance(frame, str) else None
    detail = value.get("detail") if isinstance(value, dict) else None
    return isinstance(detail, str) and bool(detail) and same(value, {"type": "error", "detail": detail, **more})


def differing_key(frame: str | bytes, more: Mapping[str, Any]) -> str:
    """Return the first further key in which an error differs from the expected one; empty if there's none."""
    value = parsed(frame) if isinstance(frame, str) else None
    if not isinstance(value, dict) or value.get("type") != "error":
        return ""
    found = {key: each for key, each in value.items() if key not in ("type", "detail")}
    keys = sorted(found.keys() | more.keys())
    return next((key for key in keys if not (key in found and key in more and same(found[key], more[key]))), "")


def not_an_error(frame: str | bytes, more: Mapping[str, Any] = NOTHING) -> str | None:
    """Explain a message that was received instead of an error. Return None if it isn't a malformed error."""
    value = parsed(frame) if isinstance(frame, str) else None
    if not isinstance(value, dict):
        # Leave other text messages to the check: they aren't meant as errors.
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
    """Return whether a message is this string, or JSON with the same text in it."""
    if not isinstance(frame, str) or not text:
        return False
    if frame == text:
        return True
    one, other = parsed(frame), parsed(text)
    if not isinstance(one, dict) or not one.get("text"):
        return False
    return one["text"] == (other.get("text") if isinstance(other, dict) else text)


def parsed(text: str | bytes) -> Any:
    """Return the JSON value of a string, or the string itself if it isn't JSON."""
    try:
        return json.loads(text) if isinstance(text, str) else text
    except (ValueError, RecursionError):
        return text


def same(one: Any, other: Any) -> bool:
    """Return whether two values are the same JSON: `true` isn't 1, and the order of keys doesn't matter."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
