"""Explain how a received message differs from the expected one: the cause in the learner's code, and its fix."""

import ast
import contextlib
import difflib
import html
import itertools
import json
import os.path
import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, unquote_plus

SHOWN = 60
"""Maximum number of characters of a value in a sentence."""

SHORT = 10
"""Characters; up to this length, a string cut inside a word may be another value, such as `lab` and `lab2`."""

KINDS = ((bool, "boolean"), (str, "string"), (int | float, "number"), (list, "list"), (dict, "object"))

PYTHON_OBJECTS = (
    (r"<coroutine object (?:\w+\.)*(\w+)", "Your code sends a coroutine object. Write await before the call of {}()."),
    (r"<(?:\w+\.)*(\w+) object at 0x", "Your code sends str() of an object of the class {}. Send the value in it."),
    (
        r"\A(?:(\w+)\()?\w+=(?:['\"\d\[{]|None|True|False)",
        "Your code sends str() of an object. If it's a Pydantic model, send model.model_dump_json() with send_text().",
    ),
)


def difference(expected: str | dict[str, Any], got: str | bytes) -> str | None:
    """Explain how a received message differs from the expected one, as the cause in the learner's code and its fix.

    Args:
        expected: the exact string, or the object that the text message must contain as JSON.
        got: the received message: str for a text message, bytes for a binary one.

    Returns:
        Two or three short sentences about the first difference, or None if no specific cause is known.
    """
    if isinstance(got, bytes):
        method = "send_text()" if isinstance(expected, str) else "send_json()"
        return f'Your code sends a binary message: send_bytes() does that, and mode="binary". Send it with {method}.'
    try:
        return _in_text(expected, got) if isinstance(expected, str) else _in_json(expected, got)
    except Exception:  # An explanation must not hide the failed check. Deep JSON, for example, exceeds a limit.
        return None


def _in_text(expected: str, got: str) -> str | None:
    if got == expected:
        return None
    form, value = _decode(got)
    if form == "JSON" and value == expected:
        return f"Your code sends the text as a JSON string: {_raw(got)}. Use send_text(): send_json() adds quotes."
    auth = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, held in auth:
        if held == expected:
            inside = f"an object, under the key {_show(key)}" if isinstance(value, dict) else "a list"
            return f"Your code sends the text inside {inside}: {_raw(got)}. Send only the text, with send_text()."
    if isinstance(value, dict | list) and _same(_decode(expected)[1], value):
        changed = f"{_raw(got)} instead of {_raw(expected)}"
        return f"Your code parses the text as JSON and encodes it again: {changed}. Send the received text."
    return _python_object(expected, got) or _in_string("the text", expected, got)


def _in_json(expected: dict[str, Any], got: str) -> str | None:
    form, value = _decode(got)
    if form == "JSON" and isinstance(value, dict):
        return _in_object("the object", expected, value)
    if form == "Python" and got == str(value):
        return f"Your code sends str() of a dict, which isn't JSON: {_raw(got)}. Pass the dict to send_json()."
    inner = value
    while isinstance(inner, str):
        inner_form, inner = _decode(inner)
        if isinstance(inner, dict):
            how = (
                "encodes the object as JSON twice" if inner_form == "JSON" else "sends str() of a dict as a JSON string"
            )
            return f"Your code {how}: {_raw(got)}. Pass the dict itself to send_json(), not a string."
    form = form if form == "JSON" else ""
    for key, held in expected.items():
        if held == got or (form and _same(held, value)):
            return f"Your code sends only the value of {_show(key)}, not the whole object. Pass a dict to send_json()."
    if not form:
        return _python_object(expected, got) or _invalid_json(got)
    if value is None:
        return "Your code sends null, which is None in Python. Check that every function you call returns its dict."
    if isinstance(value, list) and any(isinstance(each, dict) for each in value):
        return "Your code sends a list with the object in it. Send the dict without [ ], and without a comma after it."
    return f"Your code sends a JSON {_kind(value)}, {_show(value)}, not an object. Pass a dict to send_json()."


def _invalid_json(got: str) -> str:
    start = got.find("{")
    try:
        _, end = json.JSONDecoder().raw_decode(got, max(start, 0))
    except json.JSONDecodeError as error:
        if start != 0:
            return f"Your code sends {_show(got)}, which isn't JSON. Pass a dict to send_json()."
        place = _raw(got[error.pos :][:40]) or "its end"
        return f"Your code sends invalid JSON: a parser fails at {place}. Pass a dict to send_json()."
    rest = got[end:].strip()
    if start == 0 and rest[:1] == "{":
        return f"Your code sends two objects in one message; the second is {_raw(rest)}. Send each separately."
    return f"Your code sends {_show(got[:start] if start else rest)} next to the JSON. Send only the JSON."


def _in_object(subject: str, expected: dict[str, Any], got: dict[str, Any]) -> str | None:
    for key, value in got.items():
        if isinstance(value, dict) and value.keys() == expected.keys() != got.keys():
            return (
                f"Your code puts {subject} inside another one, under the key {_show(key)}. Send the inner object alone."
            )
    ours, theirs = expected.get("type"), got.get("type", expected.get("type"))
    if not _same(ours, theirs) and not _in_value('"type"', ours, theirs):
        if len(expected) > 2 and _same({**got, "type": ours}, expected):
            return f'Your code sends {_instead(ours, theirs)} as "type"; all else is right. Correct this string.'
        return None  # Don't compare its keys and values: it's another message.
    missing, extra = ([key for key in one if key not in other] for one, other in ((expected, got), (got, expected)))
    if missing or extra:
        return _in_keys(subject, expected, got, missing, extra[:20])
    found = [
        _misplaced(key, expected, got[key]) or _in_value(_show(key), value, got[key])
        for key, value in expected.items()
        if not _same(value, got[key])
    ]
    # Explain nothing if one value has no explanation: this may be another message.
    return found[0] if found and all(found) else None


def _in_keys(subject: str, expected: dict[str, Any], got: dict[str, Any], missing: list[str], extra: list[str]) -> str:
    first = missing[0] if missing else None
    plain = {re.sub(r"[\W_]", "", key).casefold(): key for key in extra}
    for key in missing:
        other = plain.get(re.sub(r"[\W_]", "", key).casefold())
        other = other or next((each for each in extra if _same(expected[key], got[each])), None)
        other = other or next(iter(difflib.get_close_matches(key, [each[:40] for each in extra], 1, 0.75)), None)
        if other:
            return f"Your code sends the key {_show(other)} instead of {_show(key)}. Rename it to {_show(key)}."
    for key in extra:
        if isinstance(got[key], dict) and first in got[key]:
            return f"Your code puts {_show(first)} inside the object {_show(key)}. Put it next to the other keys."
    absent, named = (" and ".join(_show(key) for key in keys[:3]) for keys in (missing, extra))
    verb = "is" if len(missing) == 1 else "are"
    if first and extra:
        return (
            f"In {subject} that your code sends, {absent} {verb} missing and {named} isn't expected. Correct the keys."
        )
    if first:
        return f"In {subject} that your code sends, {absent} {verb} missing. Look at the dict that you send."
    if all(got[key] is None for key in extra):
        return f"Your code also sends null for {named}. If you dump a Pydantic model, pass exclude_none=True."
    return f"Your code also sends {named}: {_show(got[extra[0]])}. Leave that out of the dict."


def _misplaced(key: str, expected: dict[str, Any], got: Any) -> str | None:
    for other, value in expected.items():
        if other != key and isinstance(value, str) and value == got:
            return (
                f"Your code sends {_show(got)}, the value of {_show(other)}, as {_show(key)}. Use the other variable."
            )
    return None


def _in_value(subject: str, expected: Any, got: Any) -> str | None:
    if _kind(expected) != _kind(got):
        return _in_kind(subject, expected, got)
    match got:
        case str():
            if subject == '"type"':
                ratio = difflib.SequenceMatcher(None, expected[:40].casefold(), got[:40].casefold()).ratio()
                typo = f"Your code sends {_instead(expected, got)} as {subject}. Correct the spelling."
                return typo if ratio >= 0.75 else None
            return _in_string(subject, expected, got)
        case list():
            return _in_list(subject, expected, got)
        case dict():
            return _in_object(f"the object {subject}", expected, got)
        case float() if got == expected:
            return f"Your code sends {subject} as the float {_show(got)}, not {_show(expected)}. Use int() or //."
        case int() if isinstance(expected, int) and not isinstance(got, bool):
            return _in_number(subject, expected, got)
    return None


def _in_kind(subject: str, expected: Any, got: Any) -> str:
    kinds = f"the {_kind(got)} {_show(got)} instead of the {_kind(expected)} {_show(expected)}"
    sends = f"Your code sends {subject} as {kinds}."
    if got is None:
        sends = f"Your code sends null for {subject} instead of {_show(expected)}."
        return f"{sends} Look for a get() with the wrong key, or a function without return."
    if isinstance(got, str) and got in (str(expected), json.dumps(expected)):
        return f"{sends} Send the value itself, without str(), quotes or an f-string."
    if isinstance(got, dict):
        inside = next((key for key, value in got.items() if _same(value, expected)), None)
        if inside is not None:
            return f"Your code sends a whole object as {subject}: {_show(got)}. Send only its value of {_show(inside)}."
    if isinstance(got, list) and len(got) == 1 and _same(got[0], expected):
        return f"{sends} Remove the [ ] around it, or the comma after it, which makes a tuple."
    if isinstance(got, list) and _same(len(got), expected):
        return f"{sends} Send the number of entries: len()."
    if isinstance(expected, list) and isinstance(got, str) and all(str(each) in got for each in expected):
        return f"{sends} Send the list itself, without join() or str()."
    if isinstance(expected, list) and _same(len(expected), got):
        return f"{sends} Send the list itself, without len()."
    if isinstance(expected, str) and expected in (str(got), json.dumps(got)):
        return f"{sends} Send the received string unchanged: don't convert it."
    if isinstance(got, bool):
        return f"{sends} Comparisons make booleans: send the value itself."
    return f"{sends} Check which variable your code sends."


def _in_number(subject: str, expected: int, got: int) -> str:
    by = f"{abs(got - expected)} too {'high' if got > expected else 'low'}"
    sends = f"Your code sends {_show(got)} instead of {_show(expected)} as {subject}, {by}."
    if subject != '"count"':
        return f"{sends} Check what your code counts, and when."
    if got == 0:
        return f"{sends} It counts from 0, or sends the counter before it adds 1. Add 1 first."
    if got == 1:
        return f"{sends} Nothing adds 1 to it, or it starts again with each message. Set it once, before the loop."
    if expected == 1 and got > 2:
        return f"{sends} The counter continues from other connections. Make it a local variable of the endpoint."
    if got < expected:
        return f"{sends} It doesn't add 1 for each message."
    return f"{sends} It adds 1 twice, or counts something else, such as an error or another connection's message."


def _in_list(subject: str, expected: list[Any], got: list[Any]) -> str | None:
    ours, theirs = (Counter(json.dumps(each, sort_keys=True) for each in entries) for entries in (expected, got))
    missing, extra = ([json.loads(each) for each in counter] for counter in (ours - theirs, theirs - ours))
    named = ", ".join(_show(each) for each in (missing or extra)[:3])
    if not missing and not extra:
        in_order = all(isinstance(each, str) for each in expected) and expected == sorted(expected)
        fix = "Sort them: sorted()." if in_order else "Keep them in a list or a dict: a set has no order."
        return f"Your code sends the entries of {subject} in another order: {_instead(expected, got)}. {fix}"
    if not missing and theirs.keys() == ours.keys():
        return f"Your code sends {named} more than once in {subject}. Add an entry only if it isn't there yet."
    if len(missing) == len(extra) == 1:
        return _in_value(f"an entry of {subject}", missing[0], extra[0])
    if missing and extra:
        return None
    if missing:
        return f"Your code leaves {named} out of {subject}: it sends {_show(got)}. Check when it adds an entry."
    return f"Your code also sends {named} in {subject}. Check when it removes an entry."


def _normalized(text: str) -> str:
    # Skip long runs of combining characters: sorting them takes quadratic time.
    runs = (sum(1 for _ in run) for marked, run in itertools.groupby(map(unicodedata.combining, text), bool) if marked)
    return unicodedata.normalize("NFKC", text) if max(runs, default=0) < 100 else text


def _plain_lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


UNCHANGED = "Send it unchanged, without"

ALIKE: tuple[tuple[Callable[[str], str], str, str, str], ...] = (
    # A function that undoes a change, two phrases (the code makes the change, the code undoes it), and calls to remove.
    (_normalized, "changes the Unicode form of", "changes the Unicode form of", "unicodedata.normalize()"),
    (str.strip, "adds white space at the ends of", "removes the white space at the ends of", "strip()"),
    (_plain_lines, "changes the line ends in", "changes the line ends in", "replace() or splitlines()"),
    (
        lambda text: "".join(text.split()),
        "adds white space inside",
        "changes the white space inside",
        "split(), join() or replace()",
    ),
    (str.casefold, *["changes upper and lower case in"] * 2, "lower(), upper() or title()"),
    (html.unescape, "escapes HTML in", "unescapes HTML in", "html.escape() or html.unescape()"),
    (unquote_plus, "percent-encodes", "percent-decodes", "quote() or unquote()"),
    (unquote, "percent-encodes", "percent-decodes", "quote() or unquote()"),
)

REWRITTEN: tuple[tuple[str, str, str, tuple[Callable[[str], str], ...]], ...] = (
    # Two phrases (the code makes a change, the code undoes it or ""), the fix, and functions that make the change.
    (
        "adds quotes around",
        "removes the quotes around",
        f"{UNCHANGED} json.dumps(), json.loads(), repr(), !r or strip().",
        (json.dumps, lambda text: json.dumps(text, ensure_ascii=False), repr, ascii),
    ),
    (
        "adds backslashes to",
        "decodes the backslashes in",
        f"{UNCHANGED} replace(), encode() or decode(): send_json() escapes what JSON needs.",
        (
            lambda text: json.dumps(text)[1:-1],
            lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
            lambda text: repr(text)[1:-1],
            lambda text: ascii(text)[1:-1],
            lambda text: text.encode("ascii", "backslashreplace").decode(),
            lambda text: text.encode("unicode_escape").decode(),
            lambda text: text.replace("\\", "\\\\"),
            lambda text: text.replace('"', '\\"'),
            re.escape,
        ),
    ),
    ("sends str() of the bytes of", "", "Use the string, or bytes.decode().", (lambda text: str(text.encode()),)),
    (
        "duplicates",
        "",
        "Look for a second + or += on the string.",
        (lambda text: text * 2, lambda text: f"{text} {text}", lambda text: f"{text}\n{text}"),
    ),
    (
        "decodes the UTF-8 bytes with another encoding for",
        "",
        "Use decode() without an argument, which means UTF-8.",
        (lambda text: text.encode().decode("latin-1"), lambda text: text.encode().decode("cp1252")),
    ),
)


def _in_string(subject: str, expected: str, got: str) -> str | None:
    if got in ("", "None"):
        nothing = "str() of None" if got else "an empty string"
        value = f"{nothing} instead of {_show(expected)}"
        return f"Your code sends {value} as {subject}. Check the variable, and the key that you pass to get()."
    if subject == _show(got):
        return f"Your code sends the string {subject} instead of {_show(expected)}. Use the variable, without quotes."
    placeholder = re.search(r"\{[A-Za-z_]\w*\}", got[:1000])
    if placeholder and placeholder[0] not in expected:
        return f"Your code sends {_show(placeholder[0])} in {subject}. Write an f before the quotes of the string."
    does, fix = _change(expected, got) or ("", "")
    return f"Your code {does} {subject}: it sends {_instead(expected, got)}. {fix}" if does else None


def _change(expected: str, got: str) -> tuple[str, str] | None:
    """Return a phrase for the change that the code makes to a string, and the fix."""
    if not expected:
        return None
    held = _decode(got)[1]
    for key, value in held.items() if isinstance(held, dict) else ():
        if value == expected:
            return "sends a whole message as", f"Parse it with json.loads() and send only its value of {_show(key)}."
    return (
        _alike(expected, got) or _rewritten(expected, got) or _replaced(expected, got) or _cut_or_added(expected, got)
    )


def _alike(expected: str, got: str) -> tuple[str, str] | None:
    for function, does, undoes, name in ALIKE:
        ours, theirs = function(expected), function(got)
        if function is str.strip and len(got) < len(expected) and got not in expected:
            continue  # Characters inside are missing too.
        if ours != got and (theirs == expected or (ours == theirs and len(got) > len(expected))):
            return does, "Send it unchanged." if "white space" in does else f"{UNCHANGED} {name}."
        if ours in (got, theirs):
            return undoes, f"{UNCHANGED} {name}."
    stripped = expected.strip()
    if stripped != expected and got == got.strip() and (_alike(stripped, got) or _rewritten(stripped, got)):
        return "removes the white space at the ends of", f"{UNCHANGED} strip()."  # The first of two changes.
    return None


def _rewritten(expected: str, got: str) -> tuple[str, str] | None:
    for does, undoes, fix, functions in REWRITTEN:
        for function in functions:
            with contextlib.suppress(ValueError):  # Not every encoding has every character.
                if function(expected) == got:
                    return does, fix
                if undoes and function(got) == expected:
                    return undoes, fix
    return None


def _replaced(expected: str, got: str) -> tuple[str, str] | None:
    lost = {char for char in set(expected) - set(got) if not (char.isascii() and char.isalnum())}
    if lost and expected.translate({ord(char): None for char in lost}) == got:
        shown = ", ".join(_show(char) for char in sorted(lost)[:3])
        return f"removes {shown} from", f"{UNCHANGED} encode(), isprintable() or replace()."
    changed = {new for old, new in zip(expected, got, strict=False) if old != new}
    if len(expected) == len(got) and changed <= set("?_\ufffd"):
        return f"replaces characters by {_show(min(changed))} in", f"{UNCHANGED} encode() or decode() with errors=."
    return None


def _cut_or_added(expected: str, got: str) -> tuple[str, str] | None:
    short, long = sorted((expected, got), key=len)
    start = long.find(short)
    if start < 0:
        return None
    before, after = long[:start], long[start + len(short) :]
    for left, right, part in ((before, short, before), (short, after, after)):
        numbers = left[-1:].isdigit() and right[:1].isdigit() and part.isdigit() and len(part) < 5
        if numbers or (len(long) <= SHORT and left[-1:].isalnum() and right[:1].isalnum()):
            return None  # This may be another value, such as 1 and 10, or lab and lab2.
    if long is got:
        added = " and ".join(f"{_show(part)} {at}" for part, at in ((before, "before"), (after, "after")) if part)
        return f"adds {added}", "Send only the value."
    lengths = f"Only {len(got)} of {len(expected)} characters arrive"
    return "cuts", f"{lengths}: look for a slice, split() or a limit."


def _python_object(expected: object, got: str) -> str | None:
    for pattern, sentence in PYTHON_OBJECTS:
        found = re.search(pattern, got[:1000])
        if found and not re.search(pattern, str(expected)[:1000]):
            return sentence.format(found[1])
    return None


def _decode(text: str) -> tuple[str, Any]:
    """Return "JSON" or "Python" and the value that a string contains in this form, or an empty string and None."""
    try:
        return "JSON", json.loads(text)
    except json.JSONDecodeError:
        pass
    if text[:1] == "{" and len(text) < 10_000:
        with warnings.catch_warnings(action="ignore"), contextlib.suppress(SyntaxError, ValueError, TypeError):
            value = ast.literal_eval(text)
            return ("Python", value) if isinstance(value, dict) else ("", None)
    return "", None


def _kind(value: object) -> str:
    return next((name for types, name in KINDS if isinstance(value, types)), "null")


def _same(one: object, other: object) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _show(value: object) -> str:
    """Return a value in quotes, cut, with invisible and combining characters as `\\uXXXX`."""
    if not isinstance(value, str):
        return _raw(json.dumps(value, ensure_ascii=False))
    text = json.dumps(value[:SHOWN], ensure_ascii=False)
    if '"' in value and "'" not in value:
        text = "'" + text[1:-1].replace('\\"', '"') + "'"
    return escaped(text) + ("..." if len(value) > SHOWN else "")


def _raw(text: str) -> str:
    """Return a message, cut, without additional quotes."""
    return escaped(text if len(text) <= SHOWN else f"{text[:SHOWN]}...")


def escaped(text: str) -> str:
    """Return a string with its invisible and combining characters as `\\uXXXX`, or as `\\n` and the like."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char
        if char == " " or (char.isprintable() and char != "\ufffd" and unicodedata.category(char)[0] != "M")
        else json.dumps(char)[1:-1]
        for char in text
    )


def _instead(expected: Any, got: Any) -> str:
    """Return both values, from 20 characters before their first difference if they're long."""
    texts = [each if isinstance(each, str) else json.dumps(each, ensure_ascii=False) for each in (got, expected)]
    start = len(os.path.commonprefix(texts)) - 20 if max(map(len, texts)) > SHOWN else 0
    if start <= 0:
        shown = [_show(each) for each in (got, expected)]
    else:
        shown = [f"...{_show(text[start:])}" for text in texts]
    if len(set(shown)) == 1 or _normalized(texts[0]) == _normalized(texts[1]):
        shown = [json.dumps(text[max(start, 0) :][:SHOWN]) for text in texts]
    return " instead of ".join(shown)
