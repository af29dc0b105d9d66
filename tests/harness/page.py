"""Drive the browser page in a test: find its cards, press their buttons, and read their logs."""

import re
from typing import TYPE_CHECKING

from workshop.course import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

PAGE = ROOT / "steps" / "page"
SECONDS = 5
"""The longest that any single thing on the page may take."""

HOSTILE = {
    "a script": "<script>document.title = 'owned'; alert(1)</script>",
    "a picture": "<img src=x onerror=\"document.title = 'owned'; alert(1)\">",
    "a link and a frame": '<a href="javascript:alert(1)">Ada</a><iframe srcdoc="<script>alert(1)</script>"></iframe>',
    "an entity": "&lt;b&gt; &amp; </div></section>",
    "control characters": "one\0two\x1b[31mthree\x7f\ttab\r\nline",
    "a turn of the writing direction": "Ada \u202egnp.exe\u202c \u2066lobby",
    "100 kB": "<b>" + "Grace " * 16_666 + "</b>",
}


def card(page: "Page", name: str = "Ada") -> "Locator":
    """The card of one client."""
    return page.get_by_role("region", name=name, exact=True)


def press(card: "Locator", button: str) -> None:
    """Press the button that has exactly this name, by key: a click takes six times as long."""
    card.get_by_role("button", name=button, exact=True).press("Enter")


def rows(card: "Locator", words: str = "") -> "Locator":
    """The rows of the card's log that begin, after the time, with such words as `← received text`."""
    return card.get_by_role("log").locator(".row").filter(has_text=re.compile(rf"^\S+ {words}"))


def contents(card: "Locator", words: str) -> list[str]:
    """The whole content of such rows, also where the row shows its beginning only."""
    found = "rows => rows.map(row => (row.querySelector('pre') ?? row.querySelector('.content')).textContent)"
    return rows(card, words).evaluate_all(found)


def wait_for_rows(card: "Locator", words: str, count: int) -> None:
    """Wait until the log has so many of these rows."""
    rows(card, words).nth(count - 1).wait_for()


def connect(card: "Locator") -> None:
    """Connect, and wait until the server has accepted."""
    # A card that was connected before has such a row already.
    before = rows(card, "← received open").count()
    press(card, "Connect")
    wait_for_rows(card, "← received open", before + 1)


def send(card: "Locator", message: str, how: str = "Send as text") -> None:
    """Fill in the message and press the button."""
    card.get_by_label("Message").fill(message)
    press(card, how)


def complaints(card: "Locator") -> list[str]:
    """What the card says is wrong."""
    return [text for text in card.get_by_role("alert").all_text_contents() if text]


def as_shown(text: str) -> str:
    """How a row shows this text: what is not seen, or turns the text around it, is written out."""
    return "".join(f"⟨U+{ord(letter):04X}⟩" if letter in "\0\x1b\x7f\u202e\u202c\u2066" else letter for letter in text)


def assert_plain(page: "Page", what: str) -> None:
    """The page has no element in its rows and headings but its own, no frame but its own, and its own title."""
    foreign = ":is(.row, h2) :not(time, span, div.content, details, summary, pre), iframe:not(.card > iframe)"
    assert page.locator(foreign).count() == 0, what
    assert page.title() == "WebSocket clients", what
