"""Hard cases: texts, names and rooms for every check, drawn from classes.

Every run contains every class. The seed of the run only decides which value of a class is drawn, so all runs find the
same bugs.
"""

import itertools
import json
import re
import unicodedata
from html import unescape
from typing import Any
from urllib.parse import unquote_plus

from .conversation import current

LONG = 1_000_001
"""The number of characters in the long text."""
NAME_LENGTH = 20
"""The maximum number of characters in a name."""

TEXTS: dict[str, tuple[str, ...]] = {
    "plain": ("hello", "good morning", "see you later"),
    "empty": ("",),
    "blanks at its ends": ("  hello ", " good morning  "),
    "control characters": ("bell\x07 zero\x00", "\x00\x1b[31mred\x1b[0m", "\x7f\x08back\x00"),
    "invisible characters": ("\ufeffa\u200bb\u2060c", "\u200bleft\u202eright\ufeff"),
    "tabs and line ends at its ends": ("\thello\n", "\r\n\tgood morning\t\r\n"),
    "no-break spaces at its ends": ("\u00a0hello\u00a0", "\u00a0\u00a0good morning\u00a0"),
    "nothing but white space": (" \n", "\t \n"),
    "white space inside": ("a  b \t c", "one   two \t three"),
    "upper and lower case": ("HeLLo Straße", "Émile VISITS İzmir", "LOUD and quiet"),
    "composed characters": ("caf\u00e9", "\u00c5ngstr\u00f6m", "se\u00f1or"),
    "decomposed characters": ("cafe\u0301", "A\u030angstro\u0308m", "sen\u0303or"),
    "compatibility characters": ("\ufb01ne x\u00b2", "\uff21\u2460", "\u2167 \u00bd"),
    "characters of HTML": ("<b>&amp;</b>", "a < b &amp; c > d", "<script>alert(1)</script> &lt;"),
    "quotes and backslashes": ("\"quoted\" 'single' \\n", 'C:\\new "folder" it\'s', "\\\\ \\u0041 \" '"),
    "a bye": ('{"type": "bye"}',),
    "a bye without white space": ('{"type":"bye"}',),
    "a text that is JSON": ('{"type":"left",  "name":"Ada", "n":1.50}', '[ "null",1.0 ,{"a":1,"a":2}]'),
    "the word null": ("null", "None"),
    "a number": ("007", "1.50", "+4"),
    "the word ping": ("ping",),
    "the word quit": ("quit",),
    "a command": ("/help", "/etc/hosts is a file", "/me waves"),
    "a mention": ("@Ada hello", "@everyone", "#lab"),
    "line ends": ("two\nlines\r\nthree\rfour", "a\n\nb\r\nc\rd"),
    "other alphabets": ("안녕하세요", "здравствуйте", "مرحبا שלום"),
    "characters of two units": ("👩\u200d🚀 🇰🇷", "𝒳 = 👨\u200d👩\u200d👧"),
    "characters of URLs": ("100%25 a+b %41", "%2F%20+%3D", "a%20b+c"),
    "placeholders": ("{name} {0} %s", "%(text)s {}", "$name {{x}} %d"),
    "separators": ("a:b|c,d;e/f", "x::y|z/w,v;u", "k:v|w,x;y/z"),
    "long": ("x" * LONG, "한" * LONG),
}
"""Texts that a server must broadcast unchanged, by class. The texts of a class are hard cases for the same reason."""

NAMES: dict[str, tuple[str, ...]] = {
    "plain": ("Zoe", "Edsger", "Barbara"),
    "one character": ("A", "z", "한"),
    "as long as allowed": ("x" * NAME_LENGTH, "y" * NAME_LENGTH),
    "as long as allowed, in characters of two units": ("🙂" * NAME_LENGTH, "𝒳" * NAME_LENGTH),
    "blanks at its ends": (" Ada ", "  Grace "),
    "nothing but white space": (" ", "  "),
    "upper case": ("ADA", "GRACE"),
    "composed characters": ("Ren\u00e9", "Zo\u00eb"),
    "decomposed characters": ("Rene\u0301", "Zoe\u0308"),
    "a hyphen": ("Ada-Marie", "Jean-Luc"),
    "a colon": ("a:b", "x::y"),
    "a slash": ("a/b", "one/two"),
    "characters of URLs": ("100%&a+b?#", "q?x#y%2F+&"),
    "characters of HTML": ("<b>Ada&amp;", "<A&lt;B>"),
    "quotes and a backslash": ('"O\'Hara\\"', "'\"Ada\\'"),
    "the word null": ("null",),
    "the word None": ("None",),
    "a comma": ("Lovelace, Ada", "a,b;c"),
    "an at sign": ("@Ada", "@Grace"),
    "a number": ("007", "42"),
}
"""Names of 1 to 20 characters, by class."""

ROOMS: dict[str, tuple[str, ...]] = {
    "plain": ("lobby", "kitchen"),
    "upper case": ("LOBBY", "Kitchen"),
    "blanks": (" lobby ", "  my room "),
    "composed characters": ("caf\u00e9", "se\u00f1or"),
    "decomposed characters": ("cafe\u0301", "sen\u0303or"),
    "other alphabets": ("한글", "комната"),
    "a colon": ("a:b", "lab:1:2"),
    "a dot": ("a.b", "lab.old"),
    "characters of URLs": ("a+b%41&c", "x+%2Dy?z#w"),
    "characters of HTML": ("<i>&amp;lab", "R&amp;D<"),
    "quotes": ('"Ada\'s"', "'lab\""),
    "a pattern": ("lo*", "l?b*"),
    "long": ("x" * 80, "room " * 16),
    "a word of the course": ("announcements-old", "announcements2"),
    "the word null": ("null", "None"),
    "a number": ("007", "42"),
}
"""Names of rooms, as in the path of a connection, by class."""

_numbers = itertools.count(1)


def number() -> int:
    """Return a number for the name of a room, so that no two rooms and none of their neighbors have the same name."""
    return next(_numbers)


def texts(*, long: bool = True) -> dict[str, str]:
    """Draw a text of each class.

    Args:
        long: whether to include the long text.
    """
    return _draw({kind: some for kind, some in TEXTS.items() if long or kind != "long"})


def names() -> dict[str, str]:
    """Draw a name of each class."""
    return _draw(NAMES)


def rooms() -> dict[str, str]:
    """Draw a unique room of each class."""
    return {kind: unique(room) for kind, room in _draw(ROOMS).items()}


def unique(room: str) -> str:
    """Return a room that no other check uses, nor its neighbors, so that checks can run side by side."""
    return f"{room}-{number()}x"


def is_unique(room: str) -> bool:
    """Return whether `unique` made this name, or it's similar to such a name or to the listeners' path."""
    return re.search(r"-\d+", room) is not None or room.strip().casefold().startswith("announcement")


def _draw(classes: dict[str, tuple[str, ...]]) -> dict[str, str]:
    chance = current().chance
    return {kind: chance.choice(some) for kind, some in classes.items()}


def neighbors(name: str) -> list[str]:
    """Return names that are similar to this one, and that must not be confused with it."""
    similar = (
        name.swapcase(),
        name.casefold(),
        f"{name}2",
        name[:-1],
        f" {name}",
        f"{name} ",
        name.strip(),
        *(unicodedata.normalize(form, name) for form in ("NFC", "NFD", "NFKC")),
        unquote_plus(name),
        unescape(name),
        re.sub(r"\W+", "-", name),
        re.sub(r"[^\w-]", "_", name),
        name.replace("*", "bby").replace("?", "a"),
        f"{name}-old",
    )
    # Leave out slashes: they'd be a part of the path.
    return [each for each in dict.fromkeys(similar) if each and each != name and "/" not in each]


def spellings(message: dict[str, Any]) -> dict[str, str]:
    """Return the same object as JSON in several spellings, by the special property of each.

    Args:
        message: the object.
    """
    backwards = dict(reversed(message.items()))
    more = {"id": None, "meta": {"tags": [1, [2.5e3, {"deep": []}], False], "to": "Ada"}, "Type": "x"}
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in str(message.get("type", "")))
    plain = json.dumps(message, ensure_ascii=False)
    spaced = json.dumps(message, ensure_ascii=False, indent=4, separators=(" ,", " : "))
    return {
        "as Python writes it": plain,
        "without white space, as a browser writes it": json.dumps(message, ensure_ascii=False, separators=(",", ":")),
        "with white space around": f" \r\n{spaced}\t\n ",
        "in ASCII": json.dumps(message),
        "with its type escaped": plain.replace(json.dumps(message.get("type")), f'"{escaped}"', 1),
        "with its keys in another order": json.dumps(backwards, ensure_ascii=False),
        "with a further key count": json.dumps(message | {"count": "many"}, ensure_ascii=False),
        "with further keys": json.dumps(message | more, ensure_ascii=False),
        "with further keys first": json.dumps(more | message, ensure_ascii=False),
    }
