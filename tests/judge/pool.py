"""Values that hurt: texts, names and rooms for every check, drawn from classes.

Every run contains every class. Only the member within a class is drawn, by the seed of the run, so what one run finds
another run finds too.
"""

import itertools
import json
import unicodedata
from typing import Any

from .conversation import current

LONG = 100_000
"""Characters of the long text."""
NAME_LENGTH = 20
"""Characters that a name may have."""

TEXTS: dict[str, tuple[str, ...]] = {
    "plain": ("hello", "good morning", "see you at ten"),
    "empty": ("",),
    "white space at its ends": ("  hello ", "\thello\n", " hello\u00a0"),
    "nothing but white space": (" ", "\n\n", "\t "),
    "white space inside": ("a  b   c", "one \t two"),
    "upper and lower case": ("HeLLo Straße", "Émile VISITS İzmir", "LOUD and quiet"),
    "composed characters": ("caf\u00e9", "\u00c5ngstr\u00f6m", "se\u00f1or"),
    "decomposed characters": ("cafe\u0301", "A\u030angstro\u0308m", "sen\u0303or"),
    "compatibility characters": ("\ufb01ne x\u00b2", "\uff21\u2460", "\u2167 \u00bd"),
    "characters of HTML": ("<b>&amp;</b>", "a < b && c > d", "<script>alert(1)</script> &lt;"),
    "quotes and backslashes": ("\"quoted\" 'single' \\n", 'C:\\new "folder" it\'s', "\\\\ \\u0041 \" '"),
    "a text that is JSON": ('{"type": "bye"}', '{"type": "left", "name": "Ada"}', '["null"]'),
    "a word of JSON": ("null", "true", "42"),
    "line ends": ("two\nlines", "one\r\ntwo\rthree", "a\n\nb\r\n"),
    "control characters": ("bell\x07 zero\x00", "\x1b[31mred\x1b[0m \x01", "\x7f\x08back"),
    "other alphabets": ("안녕하세요", "здравствуйте", "مرحبا שלום"),
    "characters of two units": ("👩\u200d🚀 🇰🇷", "𝒳 = 𝟙", "🙂🙃🙂"),
    "invisible characters": ("a\u200bb\u2060c", "\ufeffmark", "left\u202eright"),
    "characters of URLs": ("100%25 a+b %41", "?q=a&b#c/d", "%2F%20+%"),
    "placeholders": ("{name} {0} %s", "%(text)s {}", "$name {{x}}"),
    "separators": ("a:b|c,d;e", "one/two::three", "k=v;x:y"),
    "long": ("x" * LONG, "한" * LONG),
}
"""Texts that a server must pass on as they are, by what hurts in them."""

NAMES: dict[str, tuple[str, ...]] = {
    "plain": ("Zoe", "Edsger", "Barbara"),
    "one character": ("A", "z", "한"),
    "as long as allowed": ("x" * NAME_LENGTH, "y" * NAME_LENGTH),
    "as long as allowed, in characters of two units": ("🙂" * NAME_LENGTH, "𝒳" * NAME_LENGTH),
    "white space at its ends": (" Ada", "Ada ", "\tAda "),
    "nothing but white space": (" ", "  ", "\u3000"),
    "composed characters": ("Ren\u00e9", "Zo\u00eb"),
    "decomposed characters": ("Rene\u0301", "Zoe\u0308"),
    "a colon": ("a:b", "x::y"),
    "a slash": ("a/b", "one/two"),
    "characters of URLs": ("100%+%41", "a+b&c%20d", "q?x#y%2F+"),
    "characters of HTML": ("<b>Ada</b>", "A&amp;B"),
    "quotes": ("O'Hara", "'Ada'"),
    "double quotes": ('"Ada"', 'the "A"'),
    "a backslash": ("back\\slash", "a\\b"),
    "a word of JSON": ("null", "None", "true"),
    "a comma": ("Lovelace, Ada", "a,b;c"),
}
"""Names of 1 to 20 characters, by what hurts in them."""

ROOMS: dict[str, tuple[str, ...]] = {
    "plain": ("lobby", "kitchen"),
    "upper case": ("LOBBY", "Kitchen"),
    "white space": (" lobby ", "my room"),
    "composed characters": ("caf\u00e9", "se\u00f1or"),
    "decomposed characters": ("cafe\u0301", "sen\u0303or"),
    "other alphabets": ("한글", "комната"),
    "a colon": ("a:b", "lab:1:2"),
    "characters of URLs": ("100%+%41", "a+b&c%20d", "x%2Fy+z", "q?x#y%2B+"),
    "characters of HTML": ("<i>lab", "R&amp;D"),
    "quotes": ("Ada's", '"lab"'),
    "a word of the course": ("rooms", "members", "announcements-old"),
    "a word of JSON": ("null", "None"),
}
"""Rooms, as the path of a connection names them, by what hurts in them."""

_numbers = itertools.count(1)


def texts(*, long: bool = True) -> dict[str, str]:
    """Draw a text of each class.

    Args:
        long: whether the long text is among them.
    """
    return _draw({kind: some for kind, some in TEXTS.items() if long or kind != "long"})


def names() -> dict[str, str]:
    """Draw a name of each class."""
    return _draw(NAMES)


def rooms() -> dict[str, str]:
    """Draw a room of each class; its number makes it one that no other check uses."""
    return {kind: f"{room}-{next(_numbers)}" for kind, room in _draw(ROOMS).items()}


def _draw(classes: dict[str, tuple[str, ...]]) -> dict[str, str]:
    chance = current().chance
    return {kind: chance.choice(some) for kind, some in classes.items()}


def neighbors(name: str) -> list[str]:
    """Return names that are similar to this one, and that must not be taken for it."""
    similar = (
        name.swapcase(),
        f"{name}2",
        name[:-1],
        f" {name}",
        f"{name} ",
        unicodedata.normalize("NFC", name),
        unicodedata.normalize("NFD", name),
        f"{name}-old",
    )
    return [each for each in dict.fromkeys(similar) if each and each != name]


def spellings(message: dict[str, Any]) -> dict[str, str]:
    """Return the same object as JSON in several spellings, by what is special about each.

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
        "with further keys": json.dumps(message | more, ensure_ascii=False),
        "with further keys first": json.dumps(more | message, ensure_ascii=False),
    }
