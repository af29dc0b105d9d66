"""Drive the browser page in a test: find its cards, press their buttons, and read their logs."""

import re
from typing import TYPE_CHECKING

from workshop.course import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

PAGE = ROOT / "steps" / "page"
SECONDS = 5
"""The longest wait for an action on the page, in seconds."""

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
    """Return the card of a client."""
    return page.get_by_role("region", name=name, exact=True)


def press(card: "Locator", button: str) -> None:
    """Press the button with exactly this name, by key, because a click takes six times as long."""
    card.get_by_role("button", name=button, exact=True).press("Enter")


def rows(card: "Locator", words: str = "") -> "Locator":
    """Return the rows of the card's log that begin with these words.

    Args:
        card: the card.
        words: the direction and the kind, such as `← received text`, which follow the time.
    """
    return card.get_by_role("log").locator(".row").filter(has_text=re.compile(rf"^\S+ {words}"))


def contents(card: "Locator", words: str) -> list[str]:
    """Return the full content of these rows, even if a row shows only its beginning."""
    found = "rows => rows.map(row => (row.querySelector('pre') ?? row.querySelector('.content')).textContent)"
    return rows(card, words).evaluate_all(found)


def wait_for_rows(card: "Locator", words: str, count: int) -> None:
    """Wait until the log has this number of these rows."""
    rows(card, words).nth(count - 1).wait_for()


def connect(card: "Locator") -> None:
    """Connect, and wait until the server has accepted."""
    # A card that was connected before already has such a row.
    before = rows(card, "← received open").count()
    press(card, "Connect")
    wait_for_rows(card, "← received open", before + 1)


def send(card: "Locator", message: str, how: str = "Send as text") -> None:
    """Fill in the message, and press a button.

    Args:
        card: the card.
        message: the message, or its hex digits.
        how: the name of the button.
    """
    card.get_by_label("Message").fill(message)
    press(card, how)


def complaints(card: "Locator") -> list[str]:
    """Return the error messages that the card shows."""
    return [text for text in card.get_by_role("alert").all_text_contents() if text]


def as_shown(text: str) -> str:
    """Return a text as a row shows it: with code points for characters that are invisible or change direction."""
    return "".join(f"⟨U+{ord(letter):04X}⟩" if letter in "\0\x1b\x7f\u202e\u202c\u2066" else letter for letter in text)


def assert_plain(page: "Page", what: str) -> None:
    """Assert that no message has added an element to the page's rows and headings, a frame, or another title.

    Args:
        page: the page.
        what: the kind of the last message, for the failure.
    """
    foreign = ":is(.row, h2) :not(time, span, div.content, details, summary, pre), iframe:not(.card > iframe)"
    assert page.locator(foreign).count() == 0, what
    assert page.title() == "WebSocket clients", what
