"""A difference between two messages is explained by its cause. A difference without a known cause isn't explained."""

import html
import json
import sys
import time
import unicodedata
from typing import Any
from urllib.parse import quote, quote_plus, unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judge.differences import difference

ECHO = {"type": "echo", "text": " Let's <b>say</b> 1 + 1\u00a0&amp; d\u00e9j\u00e0 vu%20! ", "count": 1}
MESSAGE = {"type": "message", "from": "Ada", "text": "Hello, Linus"}
NAMES = {"type": "members", "names": ["Ada", "Grace", "Linus"]}
BIG = 256 * 1024


def without(*keys: str, **values: Any) -> str:
    """Return the echo as JSON, without some keys and with others."""
    return json.dumps({**{key: value for key, value in ECHO.items() if key not in keys}, **values})


@pytest.mark.parametrize(
    ("got", "cause"),
    [
        (json.dumps(ECHO).encode(), "sends a binary message"),
        (str(ECHO), "sends str() of a dict, which isn't JSON"),
        (json.dumps(json.dumps(ECHO)), "encodes the object as JSON twice"),
        (json.dumps(json.dumps(json.dumps(ECHO))), "encodes the object as JSON twice"),
        (json.dumps(str(ECHO)), "sends str() of a dict as a JSON string"),
        (json.dumps([ECHO]), "sends a list with the object in it"),
        (json.dumps([ECHO, 422]), "sends a list with the object in it"),
        ("null", "sends null"),
        ("[1]", "sends a JSON list, [1]"),
        ("true", "sends a JSON boolean, true"),
        (json.dumps("hi"), "sends a JSON string"),
        (ECHO["text"], 'only the value of "text"'),
        (json.dumps(ECHO["text"]), 'only the value of "text"'),
        ("1", 'only the value of "count"'),
        ("Hello World", "which isn't JSON"),
        ("", '"", which isn\'t JSON'),
        (
            '{"type": "echo", "text": "say "hi"", "count": 1}',
            'invalid JSON: a parser fails at hi"", "count": 1}',
        ),
        (json.dumps(ECHO) + json.dumps(ECHO), "sends two objects in one message"),
        ("Message text was: " + json.dumps(ECHO), '"Message text was: " next to the JSON'),
        ("type='echo' text='hi' count=1", "Pydantic model"),
        ("Echo(type='echo', text='hi')", "Pydantic model"),
        ("<app.Echo object at 0x7f>", "an object of the class Echo"),
        ("<coroutine object WebSocket.receive_text at 0x7f>", "Write await before the call of receive_text()"),
        (without("count"), '"count" is missing'),
        (without("text", "count"), '"text" and "count" are missing'),
        (without(room="lobby"), 'also sends "room"'),
        (without(detail=None), 'also sends null for "detail"'),
        (without("count", number=2), '"count" is missing and "number" isn\'t expected'),
        (without("text", message=ECHO["text"]), 'the key "message" instead of "text"'),
        (without("text", Text="hi"), 'the key "Text" instead of "text"'),
        (without("text", txet="hi"), 'the key "txet" instead of "text"'),
        (without("text", "count", data={"text": "hi", "count": 1}), 'puts "text" inside the object "data"'),
        (json.dumps({"data": ECHO}), 'inside another one, under the key "data"'),
        (without(type="Echo"), '"Echo" instead of "echo" as "type"'),
        (without(type="ehco"), '"ehco" instead of "echo" as "type"'),
        (without(type="message"), '"message" instead of "echo" as "type"'),
        (without(count="1"), 'the string "1" instead of the number 1'),
        (without(count="None"), 'the string "None" instead of the number 1'),
        (without(count=None), 'null for "count"'),
        (without(count=True), "the boolean true instead of the number 1"),
        (without(count=1.0), "the float 1.0"),
        (without(count=[1]), "which makes a tuple"),
        (without(count=0), "counts from 0"),
        (without(count=2), "1 too high. It adds 1 twice"),
        (without(count=7), "6 too high. The counter continues from other connections"),
        (without(text=None), 'null for "text"'),
        (without(text=5), "the number 5 instead of the string \" Let's"),
        (without(text=""), "an empty string"),
        (without(text="None"), "str() of None"),
        (without(text="text"), 'sends the string "text"'),
        (without(text="{text}"), "Write an f before the quotes"),
        (json.dumps(ECHO)[:-1] + ",}", "invalid JSON: a parser fails at "),
        (json.dumps(ECHO)[:-1], "invalid JSON: a parser fails at its end"),
        (without(text="echo"), '"echo", the value of "type", as "text"'),
        (without(text={"type": "echo", "text": ECHO["text"]}), 'sends a whole object as "text"'),
        (without(text=without("count")), 'sends a whole message as "text"'),
    ],
)
def test_object(got: str | bytes, cause: str) -> None:
    """A message and its keys, and values that aren't strings."""
    explained = difference(ECHO, got)
    assert explained and cause in explained
    assert len(explained) < 300


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (str.strip, "removes the white space at the ends of"),
        (str.lstrip, "removes the white space at the ends of"),
        (lambda text: text.strip().lower(), "removes the white space at the ends of"),
        (lambda text: f"{text}\n", "adds white space at the ends of"),
        (lambda text: text.replace(" ", "  "), "adds white space inside"),
        (lambda text: " ".join(text.split(" ")[1:]).replace(" ", ""), "changes the white space inside"),
        (str.lower, "changes upper and lower case in"),
        (str.upper, "changes upper and lower case in"),
        (str.title, "changes upper and lower case in"),
        (html.escape, "escapes HTML in"),
        (html.unescape, "unescapes HTML in"),
        (quote, "percent-encodes"),
        (quote_plus, "percent-encodes"),
        (unquote, "percent-decodes"),
        (lambda text: json.dumps(text)[1:-1], "adds backslashes to"),
        (lambda text: text.encode("unicode_escape").decode(), "adds backslashes to"),
        (json.dumps, "adds quotes around"),
        (repr, "adds quotes around"),
        (lambda text: str(text.encode()), "sends str() of the bytes of"),
        (lambda text: text * 2, "duplicates"),
        (lambda text: text[:20], "Only 20 of 42 characters"),
        (lambda text: text[3:], "Only 39 of 42 characters"),
        (lambda text: f"Ada: {text}", 'adds "Ada: " before'),
        (lambda text: f"<{text}>", 'adds "<" before and ">" after'),
        (lambda text: unicodedata.normalize("NFD", text), "changes the Unicode form of"),
        (lambda text: unicodedata.normalize("NFKC", text), "changes the Unicode form of"),
        (lambda text: text.encode("ascii", "ignore").decode(), 'removes "\\u00a0", "à", "é" from'),
        (lambda text: text.encode("ascii", "replace").decode(), 'replaces characters by "?" in'),
        (lambda text: text.encode("latin-1").decode("utf-8", "replace"), 'replaces characters by "\\ufffd" in'),
        (lambda text: text.encode().decode("latin-1"), "decodes the UTF-8 bytes with another encoding for"),
    ],
)
def test_string(change: Any, cause: str) -> None:
    """A change of a string: the value of a key, the entry of a list, and a whole text message."""
    text = ECHO["text"]
    for expected, got, subject in (
        (ECHO, without(text=change(text)), '"text"'),
        ({"names": [text]}, json.dumps({"names": [change(text)]}), 'an entry of "names"'),
        (text, change(text), "the text"),
    ):
        explained = difference(expected, got)
        assert explained
        if cause != "adds quotes around" or subject != "the text":
            assert cause in explained and subject in explained, explained


@pytest.mark.parametrize(
    ("expected", "got", "cause"),
    [
        ("hello", b"hello", "Send it with send_text()"),
        ("hello", '"hello"', "as a JSON string"),
        ("hello", "'hello'", "adds quotes around"),
        ("hello", '{"text": "hello"}', 'inside an object, under the key "text"'),
        ("hello", "{'type': 'websocket.receive', 'text': 'hello'}", 'inside an object, under the key "text"'),
        ("hello", '["hello"]', "inside a list"),
        ("hello", "Message text was: hello", 'adds "Message text was: " before'),
        ('{"a":  1}', '{"a": 1}', "parses the text as JSON and encodes it again"),
        ('{"a":  1}', "{'a': 1}", "parses the text as JSON and encodes it again"),
        ('"hi"', "hi", "removes the quotes around"),
        ("C:\\new", "C:\new", "decodes the backslashes in"),
        ("a\r\nb", "a\nb", "changes the line ends in"),
        ("a\nb", "ab", "changes the white space inside"),
        ("a\0b", "ab", 'removes "\\u0000" from'),
        ("\ud83d!", "?!", 'instead of "\\ud83d!"'),
        ("\u212b", "\u00c5", '"\\u00c5" instead of "\\u212b"'),
        ("x" * BIG + " ", "x" * BIG, f'..."{"x" * 20}" instead of ..."{"x" * 20} "'),
    ],
)
def test_text(expected: str, got: str | bytes, cause: str) -> None:
    """A text message that must arrive unchanged."""
    explained = difference(expected, got)
    assert explained and cause in explained
    assert len(explained) < 300


@pytest.mark.parametrize(
    ("expected", "changes", "cause"),
    [
        (NAMES, {"names": ["Linus", "Grace", "Ada"]}, "in another order"),
        (NAMES, {"names": ["Ada", "Ada", "Grace", "Linus"]}, '"Ada" more than once'),
        (NAMES, {"names": ["Ada", "Grace"]}, 'leaves "Linus" out'),
        (NAMES, {"names": ["Ada", "Grace", "Linus", "Zoe"]}, 'also sends "Zoe"'),
        (NAMES, {"names": ["ada", "Grace", "Linus"]}, 'in an entry of "names"'),
        (NAMES, {"names": "Ada, Grace, Linus"}, "without join()"),
        (NAMES, {"names": str(NAMES["names"])}, "without str()"),
        (NAMES, {"names": 3}, "without len()"),
        (MESSAGE, {"from": MESSAGE["text"], "text": "Ada"}, 'the value of "text", as "from"'),
        ({"count": 3}, {"count": 1}, "starts again with each message"),
        ({"count": 3}, {"count": 2}, "1 too low"),
        ({"lobby": 2}, {"lobby": 3}, "1 too high"),
        ({"lobby": 2}, {"lobby": ["Ada", "Linus"]}, "len()"),
        ({"rooms": {"lobby": 2}}, {"rooms": {}}, 'In the object "rooms"'),
    ],
)
def test_values(expected: dict[str, Any], changes: dict[str, Any], cause: str) -> None:
    """Lists, numbers, nested objects, and values under each other's key."""
    explained = difference(expected, json.dumps({**expected, **changes}))
    assert explained and cause in explained


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        (ECHO, json.dumps(ECHO)),
        (ECHO, json.dumps(ECHO, ensure_ascii=False, indent=2)),
        ("hello", "hello"),
        ("hello", "another text"),
        ("lab", "lab2"),
        ("text 1", "text 12"),
        (ECHO, '{"type": "error", "detail": "text is missing"}'),
        (ECHO, without(text="another text", count=2)),
        (MESSAGE, json.dumps({**MESSAGE, "from": "Grace"})),
        ({"type": "left", "name": "Ada"}, '{"type": "joined", "name": "Ada"}'),
        (NAMES, '{"type": "members", "names": ["Zoe", "Zoe"]}'),
    ],
)
def test_unknown(expected: str | dict[str, Any], got: str) -> None:
    """An equal message, and one that was meant for another step of the check, have no explanation."""
    assert difference(expected, got) is None


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "text", "b"]), inner),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None, database=None)
@given(VALUES, VALUES, st.text(st.characters(), max_size=12))
def test_never_raises(one: Any, other: Any, text: str) -> None:
    """Every message has an explanation that can be printed, or none."""
    for expected in ({"type": "echo", "text": one}, text):
        for got in (json.dumps({"type": "echo", "text": other}), json.dumps(other), text + json.dumps(one), repr(one)):
            (difference(expected, got) or "").encode()


@pytest.mark.parametrize(
    "got",
    [
        "[" * BIG,
        '{"a":' * 50_000,
        "9" * BIG,
        '{"type": "echo", "text": 1e999, "count": NaN}',
        '{"type": "echo", "text": "x", "count": ' + "9" * 4000 + "}",
        "{" + "-" * 9000,
        "\ud83d",
        '"\\ud83d"',
        b"\xff",
    ],
)
def test_extremes(got: str | bytes) -> None:
    """Deep JSON, huge numbers and half an emoji don't raise."""
    for expected in (ECHO, "hello"):
        (difference(expected, got) or "").encode()


@pytest.mark.thorough("rarer differences of a message")
@pytest.mark.parametrize("pattern", ["x", "<", "&", "%e", "\\", "\u0301\u0323", "a b\r\n", "\u00e9", "{", "x="])
def test_fast(pattern: str) -> None:
    """The longest messages don't take quadratic time."""
    text = pattern * (BIG // len(pattern))
    started = time.perf_counter()
    for got in (text[:-1] + "\N{BLACK STAR}", text[::-1], text[: BIG // 2], text + "1"):
        difference(text, got)
        difference({"text": text}, json.dumps({"text": got}))
    assert time.perf_counter() - started < 20


def test_no_cycle() -> None:
    """The module doesn't import the clients, which import it."""
    assert not any(
        getattr(value, "__module__", "") == "judge.clients" for value in vars(sys.modules["judge.differences"]).values()
    )
