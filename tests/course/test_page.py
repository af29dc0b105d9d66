"""The browser page in Chromium: messages both ways, addresses, closing, and hostile texts."""

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from harness.page import (
    HOSTILE,
    PAGE,
    SECONDS,
    as_shown,
    assert_plain,
    card,
    complaints,
    connect,
    contents,
    press,
    rows,
    send,
    wait_for_rows,
)
from workshop.server import Server

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

# One process runs all files of the page, so only one browser is open at a time.
pytestmark = pytest.mark.xdist_group("page")


class TestTalking:
    def test_text_is_echoed(self, page: "Page", echo_lesson: Server) -> None:
        """The lesson echoes a text message, and the log shows the time, the direction and the content."""
        page.goto(echo_lesson.url)
        ada = card(page)
        ada.get_by_role("button", name="Connect").click()
        wait_for_rows(ada, "← received open", 1)
        ada.get_by_label("Message").fill("hello")
        ada.get_by_role("button", name="Send as text").click()
        wait_for_rows(ada, "← received text", 1)
        assert contents(ada, "→ sent text") == ["hello"]
        assert contents(ada, "← received text") == ["Message text was: hello"]
        assert all(re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3}", time) for time in ada.locator("time").all_text_contents())
        ada.get_by_role("button", name="Clear log").click()
        assert rows(ada).count() == 0

    def test_binary_ends_the_lesson(self, page: "Page", echo_lesson: Server) -> None:
        """The lesson can't receive a binary message: the log shows 1006 and its meaning."""
        page.goto(echo_lesson.url)
        ada = card(page)
        connect(ada)
        send(ada, "00 01 ff", "Send as binary (hex)")
        wait_for_rows(ada, "• browser close", 1)
        assert contents(ada, "→ sent binary") == ["3 bytes: 00 01 ff"]
        [closed] = contents(ada, "• browser close")
        assert closed == (
            "1006, abnormal closure, no close frame came. No reason. Not clean: the server sent no close frame."
        )
        connect(ada)
        assert ada.locator(".state").text_content() == "Open", "a lost connection can be opened again"

    def test_bytes_go_both_ways(self, page: "Page", parrot: Server) -> None:
        """Hex digits are sent as a binary message, and a binary message is shown as hex digits."""
        page.goto(f"{parrot.url}/?address=/ws/lab")
        ada = card(page)
        connect(ada)
        send(ada, "0001 FF\n7f", "Send as binary (hex)")
        wait_for_rows(ada, "← received binary", 1)
        assert contents(ada, "← received binary") == ["4 bytes: 7f ff 01 00"]
        for message in ("00 01 f", "hello", "0x00"):
            send(ada, message, "Send as binary (hex)")
            assert complaints(ada) == ["Not sent: write pairs of hex digits, such as 00 01 ff."], message
        assert rows(ada, "→ sent binary").count() == 1

    def test_json_is_checked(self, page: "Page", parrot: Server) -> None:
        """JSON that doesn't parse is rejected with a sentence, and the text button still sends it."""
        page.goto(f"{parrot.url}/?address=/ws/lab")
        ada = card(page)
        send(ada, "{}", "Send as JSON")
        assert complaints(ada) == ["Not sent: there is no open connection."]
        connect(ada)
        send(ada, '{"name": "Ada"', "Send as JSON")
        [sentence] = complaints(ada)
        assert sentence.startswith("Not sent, because it isn't valid JSON: ")
        assert sentence.endswith("Send as text sends it unchanged.")
        assert rows(ada, "→ sent text").count() == 0
        press(ada, "Send as text")
        send(ada, '{"name":  "Ada"}', "Send as JSON")
        wait_for_rows(ada, "← received text", 2)
        assert contents(ada, "← received text") == ['{"name": "Ada"', '{"name":  "Ada"}']
        assert complaints(ada) == []

    def test_broken_json(self, page: "Page", parrot: Server) -> None:
        """The sent message lacks its end and isn't JSON, whatever you wrote, and the log shows the sent message."""
        page.goto(f"{parrot.url}/?address=/ws/lab")
        ada = card(page)
        send(ada, "{}", "Send broken JSON")
        assert complaints(ada) == ["Not sent: there is no open connection."]
        connect(ada)
        cuts = {
            '{"text": "hello"}': '{"text": "hel',
            '\n {"name": "Ada", "tags": [1]} ': '{"name": "Ada", "tags": ',
            "[1, 2, 3]": "[1, 2",
            "{}": "{",
            '["🦜🦜🦜"]': '["🦜',
            # None of these values is an object or a list.
            "hello": '{"text": "hel',
            "1234567": '{"text": "12345',
            "null": '{"text": "nu',
            '"a"': '{"text": "\\"a',
            "": '{"text":',
        }
        start = len(parrot.log)
        for number, (message, cut) in enumerate(cuts.items(), 1):
            send(ada, message, "Send broken JSON")
            wait_for_rows(ada, "← received text", number)
            with pytest.raises(json.JSONDecodeError):
                json.loads(cut)
        assert complaints(ada) == []
        assert contents(ada, "→ sent text") == list(cuts.values())
        assert contents(ada, "← received text") == list(cuts.values())
        assert [line for line in parrot.log[start:] if line.startswith("GOT")] == [
            f"GOT {cut!r}" for cut in cuts.values()
        ]

    def test_two_tabs(self, open_tab: Callable[[], "Page"], parrot: Server) -> None:
        """Two tabs are two clients, a second card is a third one, and each receives its own messages."""
        page, other = open_tab(), open_tab()
        page.goto(f"{parrot.url}/?address=/ws/lobby")
        press(page.locator("header"), "Add a connection")
        connect(card(page))
        connect(card(page, "Grace"))
        other.goto(f"{parrot.url}/?address=/ws/lobby")
        connect(card(other))
        send(card(other), "only me")
        send(card(other), "to all: hello")
        wait_for_rows(card(other), "← received text", 2)
        for client in (card(page), card(page, "Grace")):
            rows(client, "← received text").wait_for()
            assert contents(client, "← received text") == ["to all: hello"]

    def test_cards(self, page: "Page", echo_lesson: Server) -> None:
        """Cards have the course's names, can be renamed, and disappear when you remove them."""
        page.goto(echo_lesson.url)
        for _ in range(4):
            press(page.locator("header"), "Add a connection")
        assert page.locator("h2").all_text_contents() == ["Ada", "Grace", "Linus", "Client 4", "Client 5"]
        press(card(page, "Grace"), "Remove Grace")
        card(page, "Client 5").get_by_label("Name").fill("Barbara")
        press(page.locator("header"), "Add a connection")
        assert page.locator("h2").all_text_contents() == ["Ada", "Linus", "Client 4", "Barbara", "Grace"]

    def test_long_log(self, page: "Page", parrot: Server) -> None:
        """The log keeps 500 rows, and a screen reader doesn't read a stream of rows out."""
        page.goto(f"{parrot.url}/?address=/ws/lab")
        ada = card(page)
        connect(ada)
        log = ada.get_by_role("log")
        assert log.get_attribute("aria-live") in (None, "polite")
        send(ada, "many")
        rows(ada, "← received text").filter(has_text=re.compile(r"value 599$")).wait_for()
        assert rows(ada).count() == 500
        ada.locator(".log[aria-live=polite]").wait_for()
        send(ada, "many")
        ada.locator(".log[aria-live=off]").wait_for()


class TestAddress:
    def test_first_address(self, page: "Page") -> None:
        """The first address follows the page: its protocol, its folder, and its query."""
        proxy = "course.test/user/ada/proxy/8000/"
        cases = {
            "http://course.test/": "ws://course.test/ws",
            "https://course.test/": "wss://course.test/ws",
            f"https://{proxy}": f"wss://{proxy}ws",
            f"https://{proxy}index.html?address=/ws/lobby": f"wss://{proxy}ws/lobby",
            "http://course.test/?address=ws://127.0.0.1:9000/ws/lab": "ws://127.0.0.1:9000/ws/lab",
            "http://course.test/?address=/ws/lab%3Fname%3DAda": "ws://course.test/ws/lab?name=Ada",
        }
        asked: list[str] = []

        def answer(route: "Route") -> None:
            path = route.request.url.split("?")[0]
            asked.append(route.request.url)
            route.fulfill(path=PAGE / (path.rpartition("/")[2] or "index.html"))

        page.route("**", answer)
        for address, expected in cases.items():
            asked.clear()
            page.goto(address)
            assert card(page).get_by_label("Address").input_value() == expected
            folder = address.split("?")[0].rpartition("/")[0]
            files = [f"{folder}/{name}" for name in ("page.css", "page.js", "session.js")]
            assert asked == [address, *files], "the page needs nothing but its files"

    def test_other_port(self, page: "Page", echo_lesson: Server, parrot: Server) -> None:
        """A page from one server connects to another one, and a path becomes a full address."""
        page.goto(f"{echo_lesson.url}/?address={parrot.ws('/ws/lobby')}")
        ada = card(page)
        connect(ada)
        assert parrot.wait_for(lambda log: "ROOM lobby" in log, SECONDS)
        press(ada, "Close")
        wait_for_rows(ada, "← received close", 1)
        ada.get_by_label("Address").fill("/ws")
        connect(ada)
        assert ada.get_by_label("Address").input_value() == echo_lesson.ws("/ws")

    def test_bad_address(self, page: "Page", echo_lesson: Server) -> None:
        """An invalid address gets a sentence; an address that no server accepts gets an error and 1006."""
        page.goto(echo_lesson.url)
        ada = card(page)
        for address in ("ws://", "ftp://127.0.0.1/ws"):
            ada.get_by_label("Address").fill(address)
            press(ada, "Connect")
            [sentence] = complaints(ada)
            assert sentence.startswith("This address can't be used: write ws://"), address
        ada.get_by_label("Address").fill("/nowhere")
        press(ada, "Connect")
        wait_for_rows(ada, "• browser close", 1)
        assert contents(ada, "• browser error")[0].startswith("The handshake failed.")
        assert contents(ada, "• browser close")[0].startswith("1006, ")


class TestEnding:
    def test_close_codes_in_words(self, page: "Page", parrot: Server) -> None:
        """If the server closes, the log shows the code, its meaning, and the reason."""
        page.goto(f"{parrot.url}/?address=/ws/lab")
        ada = card(page)
        meanings = {
            1000: "normal closure",
            1001: "going away",
            1003: "unsupported data",
            1007: "invalid data, such as text that is not UTF-8",
            1008: "policy violation",
            1009: "message too big",
            1011: "internal error of the server",
            1012: "service restart",
            1013: "try again later",
            3000: "registered for a library or framework",
            4000: "private use, the application says what it means",
            4401: "not authenticated, like HTTP 401",
            4408: "timed out, like HTTP 408",
        }
        for code, meaning in meanings.items():
            connect(ada)
            send(ada, f"close {code} until <i>tomorrow</i>")
            wait_for_rows(ada, "← received close", 1)
            [closed] = contents(ada, "← received close")
            clean = "Clean: both sides sent a close frame."
            assert closed == f"{code}, {meaning}. Reason: until <i>tomorrow</i>. {clean}"
            press(ada, "Clear log")

    def test_close_rules(self, page: "Page", parrot: Server) -> None:
        """A code or a reason that a page can't send is rejected, and the rule is shown."""
        page.goto(f"{parrot.url}/?address=/ws/lab")
        ada = card(page)
        connect(ada)
        broken = {
            ("1001", ""): "A page may close with 1000 or a code from 3000 to 4999, or with none.",
            ("5000", ""): "A page may close with 1000 or a code from 3000 to 4999, or with none.",
            ("four", ""): "A page may close with 1000 or a code from 3000 to 4999, or with none.",
            ("", "bye"): "A reason needs a code.",
            ("4000", "ü" * 62): "The reason has 124 bytes in UTF-8, and the limit is 123.",
        }
        for (code, reason), sentence in broken.items():
            ada.get_by_label("Close code").fill(code)
            ada.get_by_label("Reason").fill(reason)
            press(ada, "Close")
            assert complaints(ada) == [sentence]
        assert rows(ada, "→ sent close").count() == 0
        ada.get_by_label("Reason").fill("ü" * 61 + "!")
        press(ada, "Close")
        wait_for_rows(ada, "← received close", 1)
        assert contents(ada, "← received close")[0].startswith("4000, private use")

    @pytest.mark.parametrize(
        ("ending", "close_frames"),
        [
            ("a code", ["< CLOSE 4001"]),
            ("no code", ["< CLOSE"]),
            ("remove", ["< CLOSE 1001"]),
            ("drop", []),
        ],
    )
    def test_what_the_server_gets(self, page: "Page", parrot: Server, ending: str, close_frames: list[str]) -> None:
        """Close sends the code, Remove sends 1001, and only Drop sends no close frame."""
        start = len(parrot.log)
        page.goto(f"{parrot.url}/?address=/ws/lobby")
        ada = card(page)
        connect(ada)
        send(ada, "hello")
        wait_for_rows(ada, "← received text", 1)
        if ending == "remove":
            press(ada, "Remove Ada")
        elif ending == "drop":
            press(ada, "Drop without a close frame")
        else:
            ada.get_by_label("Close code").fill("4001" if ending == "a code" else "")
            press(ada, "Close")
            wait_for_rows(ada, "← received close", 1)
        assert parrot.wait_for(lambda log: "ENDED lobby" in log[start:], SECONDS)
        log = parrot.log[start:]
        closes = [found[0] for line in log if (found := re.search(r"< CLOSE(?: \d+)?", line))]
        assert closes == close_frames
        assert [line for line in log if line.startswith("GOT")] == ["GOT 'hello'"]
        if ending == "drop":
            assert contents(ada, "• browser close")[0].startswith("Dropped inside a large message")
            connect(ada)
            assert ada.locator(".state").text_content() == "Open"


class TestSafety:
    def test_hostile_texts(self, page: "Page", parrot: Server) -> None:
        """Text from the wire stays text: no element, no script, no dialog, nothing hidden or reversed."""
        page.goto(f"{parrot.url}/?address=/ws/lab")
        ada = card(page)
        connect(ada)
        for number, (what, text) in enumerate(HOSTILE.items(), 1):
            send(ada, text)
            wait_for_rows(ada, "← received text", number)
            # A text area changes every line ending to one \n.
            assert contents(ada, "← received text")[-1] == as_shown(text.replace("\r\n", "\n")), what
            assert_plain(page, what)
        ada.get_by_label("Name").fill("<img src=x onerror=alert(1)>")
        assert_plain(page, "a name")
