"""The browser page that the lessons serve, in a real browser."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx
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
from workshop.course import find_step, steps
from workshop.ports import free_port
from workshop.redis_server import RedisServer
from workshop.server import Server

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page, Route

# One process runs them all, so that one browser is enough.
pytestmark = pytest.mark.xdist_group("page")

WATCHED = """
import sys
from importlib import import_module

sys.path.insert(0, {folder!r})
solution = import_module({module!r}).app


async def app(scope, receive, send):
    try:
        await solution(scope, receive, send)
    finally:
        print("ENDED", scope["type"], flush=True)
"""


class TestTalking:
    def test_text_is_echoed(self, page: "Page", echo_lesson: Server) -> None:
        """What is sent as text comes back from the lesson, and the log shows when, which way and what."""
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
        """The lesson cannot take a binary frame: the log shows 1006 and says in words what that is."""
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
        assert ada.locator(".state").text_content() == "Open", "a connection that was lost can be made again"

    def test_bytes_go_both_ways(self, page: "Page", parrot: Server) -> None:
        """Hex bytes leave as a binary frame, and a binary frame is shown as hex bytes."""
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
        """JSON that does not parse is refused with a sentence, and the text button still sends it."""
        page.goto(f"{parrot.url}/?address=/ws/lab")
        ada = card(page)
        send(ada, "{}", "Send as JSON")
        assert complaints(ada) == ["Not sent: there is no open connection."]
        connect(ada)
        send(ada, '{"name": "Ada"', "Send as JSON")
        [sentence] = complaints(ada)
        assert sentence.startswith("Not sent, because it is not valid JSON: ")
        assert sentence.endswith("Send as text sends it as it is.")
        assert rows(ada, "→ sent text").count() == 0
        press(ada, "Send as text")
        send(ada, '{"name":  "Ada"}', "Send as JSON")
        wait_for_rows(ada, "← received text", 2)
        assert contents(ada, "← received text") == ['{"name": "Ada"', '{"name":  "Ada"}']
        assert complaints(ada) == []

    def test_broken_json(self, page: "Page", parrot: Server) -> None:
        """What leaves has lost its end and is not JSON, whatever was written, and the log shows what left."""
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
            # None of these is an object or a list.
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
        """Two tabs are two clients, a second card is one more, and each gets what is meant for it."""
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
        """Cards come with the course's names, can be renamed, and leave when they are removed."""
        page.goto(echo_lesson.url)
        for _ in range(4):
            press(page.locator("header"), "Add a connection")
        assert page.locator("h2").all_text_contents() == ["Ada", "Grace", "Linus", "Client 4", "Client 5"]
        press(card(page, "Grace"), "Remove Grace")
        card(page, "Client 5").get_by_label("Name").fill("Barbara")
        press(page.locator("header"), "Add a connection")
        assert page.locator("h2").all_text_contents() == ["Ada", "Linus", "Client 4", "Barbara", "Grace"]

    def test_long_log(self, page: "Page", parrot: Server) -> None:
        """The log keeps 500 rows, and a stream of them is not read out to a screen reader."""
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
        """The first address follows the page: its protocol, its folder, and what its query says."""
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
        """A page from one server talks to another, and a path is made a full address."""
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
        """An address that is none gets a sentence; one that nobody answers gets an error and 1006."""
        page.goto(echo_lesson.url)
        ada = card(page)
        for address in ("ws://", "ftp://127.0.0.1/ws"):
            ada.get_by_label("Address").fill(address)
            press(ada, "Connect")
            [sentence] = complaints(ada)
            assert sentence.startswith("This address cannot be used: write ws://"), address
        ada.get_by_label("Address").fill("/nowhere")
        press(ada, "Connect")
        wait_for_rows(ada, "• browser close", 1)
        assert contents(ada, "• browser error")[0].startswith("The handshake failed.")
        assert contents(ada, "• browser close")[0].startswith("1006, ")


class TestEnding:
    def test_close_codes_in_words(self, page: "Page", parrot: Server) -> None:
        """A close of the server shows its code, what the code means, and the reason."""
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
        """A code or a reason that no page may send is refused, and the rule is shown."""
        page.goto(f"{parrot.url}/?address=/ws/lab")
        ada = card(page)
        connect(ada)
        broken = {
            ("1001", ""): "A page may close with 1000 or a code from 3000 to 4999, or with none.",
            ("5000", ""): "A page may close with 1000 or a code from 3000 to 4999, or with none.",
            ("four", ""): "A page may close with 1000 or a code from 3000 to 4999, or with none.",
            ("", "bye"): "A reason needs a code.",
            ("4000", "ü" * 62): "The reason has 124 bytes in UTF-8, and 123 is the most.",
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
        """Close sends the code, Remove says goodbye with 1001, and Drop alone sends no close frame."""
        start = len(parrot.log)
        page.goto(f"{parrot.url}/?address=/ws/lobby")
        ada = card(page)
        connect(ada)
        send(ada, "hello")
        wait_for_rows(ada, "← received text", 1)
        if ending == "remove":
            press(ada, "Remove Ada")
        elif ending == "drop":
            press(ada, "Drop without a goodbye")
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
        """Text from the wire stays text: no element, no script, no dialog, nothing hidden or turned around."""
        page.goto(f"{parrot.url}/?address=/ws/lab")
        ada = card(page)
        connect(ada)
        for number, (what, text) in enumerate(HOSTILE.items(), 1):
            send(ada, text)
            wait_for_rows(ada, "← received text", number)
            # A text area turns every line end into one \n.
            assert contents(ada, "← received text")[-1] == as_shown(text.replace("\r\n", "\n")), what
            assert_plain(page, what)
        ada.get_by_label("Name").fill("<img src=x onerror=alert(1)>")
        assert_plain(page, "a name")


class TestAccess:
    def test_keyboard_alone(self, page: "Page", echo_lesson: Server) -> None:
        """With Tab and Enter alone you connect, send, close, add a card and remove it."""
        page.goto(echo_lesson.url)

        def tab_to(label: str) -> None:
            for _ in range(40):
                page.keyboard.press("Tab")
                focused, outline = page.evaluate("""() => {
                    const node = document.activeElement;
                    const label = node.labels?.[0] ? node.labels[0].firstChild : node;
                    return [label.textContent.trim(), getComputedStyle(node).outlineStyle];
                }""")
                if page.evaluate("document.activeElement === document.body"):
                    continue  # between the last button and the first one the focus is the browser's
                assert outline == "solid", f"the focus is not to be seen at {focused}"
                if focused == label:
                    return
            pytest.fail(f"Tab does not reach {label}")

        ada = card(page)
        tab_to("Connect")
        page.keyboard.press("Enter")
        wait_for_rows(ada, "← received open", 1)
        tab_to("Message")
        page.keyboard.type("first")
        page.keyboard.press("Shift+Enter")
        page.keyboard.type("line")
        page.keyboard.press("Enter")
        wait_for_rows(ada, "← received text", 1)
        page.keyboard.type("second")
        tab_to("Send as JSON")
        page.keyboard.press("Enter")
        assert len(complaints(ada)) == 1
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Enter")
        wait_for_rows(ada, "← received text", 2)
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        wait_for_rows(ada, "← received text", 3)
        assert contents(ada, "→ sent text") == ["first\nline", "second", '{"text": "seco']
        tab_to("Close code")
        page.keyboard.press("Enter")
        wait_for_rows(ada, "← received close", 1)
        tab_to("Add a connection")
        page.keyboard.press("Enter")
        grace = card(page, "Grace")
        page.keyboard.press("Enter")
        wait_for_rows(grace, "← received open", 1)
        for _ in range(4):
            page.keyboard.press("Shift+Tab")
        page.keyboard.press("Enter")
        grace.wait_for(state="detached")
        assert page.evaluate("document.activeElement.id") == "add"

    def fill(self, page: "Page", server: Server) -> None:
        """Bring out everything that the page can show: every kind of row, every state, a complaint in each form."""
        page.goto(f"{server.url}/?address=/ws/lobby")
        press(page.locator("header"), "Add a connection")
        page.get_by_text("How this page works").click()
        ada, grace = card(page), card(page, "Grace")
        ada.get_by_text("Log in, come back").click()
        connect(ada)
        send(ada, "00 01 ff", "Send as binary (hex)")
        send(ada, "Ada" * 400)
        wait_for_rows(ada, "← received text", 1)
        rows(ada, "← received text").locator("summary").click()
        send(ada, "{", "Send as JSON")
        press(ada, "Connect")
        ada.get_by_label("Close code").fill("1005")
        press(ada, "Close")
        assert len(complaints(ada)) == 3
        grace.get_by_label("Name").fill("Grace" * 8)
        grace = card(page, "Grace" * 8)
        grace.get_by_label("Address").fill("/" + "nowhere" * 12)
        press(grace, "Connect")
        wait_for_rows(grace, "• browser close", 1)

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_axe(self, page: "Page", parrot: Server, scheme: str) -> None:
        """axe-core finds nothing, contrast included, in the light and in the dark."""
        from axe_playwright_python.sync_playwright import Axe

        page.emulate_media(color_scheme=scheme)
        self.fill(page, parrot)
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        dark = max(int(part) for part in re.findall(r"\d+", paper)[:3]) < 64
        assert dark == (scheme == "dark"), paper
        # axe cannot measure the contrast of a row that is scrolled out of its log.
        page.add_style_tag(content=".log { height: auto }")
        found = Axe().run(page, options={"resultTypes": ["violations", "incomplete"]})
        assert found.violations_count == 0, found.generate_report()
        unsure = [each["id"] for each in found.response["incomplete"]]
        assert unsure == [], json.dumps(found.response["incomplete"], indent=1)[:3000]

    def test_phone(self, page: "Page", parrot: Server) -> None:
        """On a screen 360 pixels wide nothing is cut off or needs scrolling sideways."""
        page.set_viewport_size({"width": 360, "height": 740})
        self.fill(page, parrot)
        root = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert root[0] <= root[1]
        wide = """[...document.querySelectorAll("body *")]
            .filter(node => node.checkVisibility() && node.getBoundingClientRect().right > innerWidth)
            .map(node => node.outerHTML.slice(0, 80))"""
        assert page.evaluate(wide) == []
        sideways = """[...document.querySelectorAll(".log, .log *")]
            .filter(node => node.scrollWidth > node.clientWidth && getComputedStyle(node).display !== "inline")
            .map(node => node.outerHTML.slice(0, 80))"""
        assert page.evaluate(sideways) == []

    def test_screen_reader_names(self, page: "Page", echo_lesson: Server) -> None:
        """A screen reader is told what each group and field is, and of each new row."""
        page.goto(echo_lesson.url)
        ada = card(page)
        for name in ("Connection", "Send", "End"):
            assert ada.get_by_role("group", name=name, exact=True).count() == 1, name
        assert ada.get_by_role("log", name="Ada Log").count() == 1
        drop = ada.get_by_role("button", name="Drop without a goodbye")
        assert drop.get_attribute("aria-describedby") == "about-drop"
        broken = ada.get_by_role("button", name="Send broken JSON")
        assert broken.get_attribute("aria-describedby") == "about-broken"
        assert page.locator("#about-drop, #about-broken").count() == 2
        described = ada.get_by_label("Message").get_attribute("aria-describedby")
        for part in described.split():
            assert page.locator(f"#{part}").count() == 1, part


class TestSessions:
    """What the page knows of the messages of the course. The parrot says whatever it is told to say."""

    def start(self, page: "Page", parrot: Server, *, again: bool = False) -> "Locator":
        """Connect a card, which comes back by itself or not."""
        page.goto(f"{parrot.url}/?address=/ws/lobby")
        ada = card(page)
        ada.get_by_text("Log in, come back").click()
        if again:
            ada.get_by_label("Come back by itself").check()
        connect(ada)
        return ada

    def test_members(self, page: "Page", parrot: Server) -> None:
        """The list, who joins and who leaves; a notice without a list before it changes nothing."""
        ada = self.start(page, parrot)
        there = ada.locator(".members")

        def hear(**message: object) -> str:
            before = rows(ada, "← received text").count()
            send(ada, json.dumps(message, ensure_ascii=False))
            wait_for_rows(ada, "← received text", before + 1)
            return there.text_content()

        assert hear(type="joined", name="Grace") == ""
        assert hear(type="members", names=["Ada", "Grace"]) == "In the room: Ada, Grace"
        assert hear(type="joined", name="Eve") == "In the room: Ada, Eve, Grace"
        assert hear(type="joined", name="Eve") == "In the room: Ada, Eve, Grace"
        assert hear(type="left", name="Ada") == "In the room: Eve, Grace"
        assert hear(type="left", name="nobody") == "In the room: Eve, Grace"
        for what, text in HOSTILE.items():
            hear(type="members", names=[text])
            assert_plain(page, what)
        assert hear(type="members", names="no list").startswith("In the room: ")
        press(ada, "Close")
        wait_for_rows(ada, "← received close", 1)
        assert there.text_content() == "", "who is there is not known any more"

    def test_answers_pings(self, page: "Page", parrot: Server) -> None:
        """A ping of the server is answered, unless you say no."""
        ada = self.start(page, parrot)
        send(ada, '{"type": "ping"}')
        wait_for_rows(ada, "← received text", 2)
        assert contents(ada, "→ sent text") == ['{"type": "ping"}', '{"type": "pong"}']
        ada.get_by_label("Answer pings of the server").uncheck()
        send(ada, '{"type": "ping"}')
        send(ada, "that is all")
        wait_for_rows(ada, "← received text", 4)
        assert contents(ada, "→ sent text")[2:] == ['{"type": "ping"}', "that is all"]

    def test_comes_back(self, page: "Page", parrot: Server) -> None:
        """It comes back after a loss, with the id of the last message, and not when it was sent away or left itself."""
        ada = self.start(page, parrot, again=True)
        send(ada, '{"type": "message", "id": 7, "from": "Grace", "text": "hello"}')
        wait_for_rows(ada, "← received text", 1)
        send(ada, "close 1012 restart")
        wait_for_rows(ada, "← received open", 2)
        assert contents(ada, "→ sent open")[-1].endswith("/ws/lobby?after=7")
        assert re.fullmatch(r"The next try comes in 0\.[2-5] s\.", contents(ada, "• browser wait")[-1])
        press(ada, "Drop without a goodbye")
        wait_for_rows(ada, "← received open", 3)
        for code in (1000, 1008, 4401):
            send(ada, f"close {code} go away")
            wait_for_rows(ada, "← received close", rows(ada, "← received open").count() - 1)
            assert ada.locator(".state").text_content() == "Closed", code
            connect(ada)
        assert rows(ada, "• browser wait").count() == 2
        assert contents(ada, "→ sent open")[-1].endswith("/ws/lobby"), "Connect begins anew"
        send(ada, "close 1013 too slow")
        wait_for_rows(ada, "• browser wait", 3)
        press(ada, "Close")
        assert ada.locator(".state").text_content() == "Closed", "Close ends the waiting too"

    def test_log_in(self, page: "Page", parrot: Server) -> None:
        """A login that fails is told in one sentence, and nothing is connected."""
        page.goto(f"{parrot.url}/?address=/ws/lobby")
        ada = card(page)
        ada.get_by_text("Log in, come back").click()
        ada.get_by_label("User").fill("Ada")
        press(ada, "Connect")
        ada.get_by_text("Not logged in: token was answered with HTTP 40").wait_for()
        page.route("**/token", lambda route: route.fulfill(status=401))
        press(ada, "Connect")
        ada.get_by_text("Not logged in: the user or the password is wrong.").wait_for()
        page.unroute("**/token")
        page.route("**/token", lambda route: route.fulfill(json={"access_token": "secret", "token_type": "bearer"}))
        page.route("**/ticket", lambda route: route.fulfill(json={"ticket": route.request.headers["authorization"]}))
        connect(ada)
        assert contents(ada, "→ sent open")[-1].endswith("/ws/lobby?ticket=…"), "a ticket is not shown"
        assert "secret" not in page.content()


@pytest.mark.thorough("the browser page with every worked solution")
class TestSolutions:
    """Two tabs against the worked solution of each step: for a step 05_name, write test_step_05_name."""

    @pytest.fixture
    def serve(self, tmp_path: Path) -> Callable[..., Server]:
        """Starts the solution of a step, to be used with `with`; its log says when a socket has ended."""

        def serve(number: int, *, port: int = 0, **settings: str) -> Server:
            step = find_step(number)
            module = step.target("exercise").removesuffix(":app")
            # uvicorn's own log says nothing when a client vanishes.
            source = WATCHED.format(folder=str(step.solution), module=module)
            (tmp_path / "watched.py").write_text(source, "utf-8")
            return Server("watched:app", tmp_path, port=port, environment=settings)

        return serve

    def join(self, page: "Page", lesson: Server, address: str) -> "Locator":
        """Open the page of the lesson in this tab, and connect its first card to another server's address."""
        page.goto(f"{lesson.url}/?address={quote(address, safe='')}")
        connect(card(page))
        return card(page)

    def join_too(self, page: "Page", name: str, address: str) -> "Locator":
        """Connect a second card of the tab."""
        press(page.locator("header"), "Add a connection")
        added = card(page, name)
        added.get_by_label("Address").fill(address)
        connect(added)
        return added

    def talk(self, sender: "Locator", message: str, expected: str, *hearers: "Locator") -> None:
        """Send a text, and wait until each of these cards has one text more, which is the expected one."""
        before = [rows(hearer, "← received text").count() for hearer in hearers]
        send(sender, message)
        for hearer, count in zip(hearers, before, strict=True):
            wait_for_rows(hearer, "← received text", count + 1)
            assert contents(hearer, "← received text")[count:] == [expected]

    def leave(self, server: Server, how: Callable[[], None], count: int = 1) -> None:
        """Let somebody go, and wait until so many endpoints more have ended."""
        before = server.log.count("ENDED websocket")
        how()
        ended = server.wait_for(lambda log: log.count("ENDED websocket") >= before + count, SECONDS)
        assert ended, "the server does not notice that the client is gone"

    def refuse(self, client: "Locator", address: str) -> None:
        """Try an address whose handshake the server refuses."""
        before = rows(client, "• browser close").count()
        client.get_by_label("Address").fill(address)
        press(client, "Connect")
        wait_for_rows(client, "• browser close", before + 1)
        assert contents(client, "• browser error")[-1].startswith("The handshake failed.")
        assert contents(client, "• browser close")[-1].startswith("1006, ")

    def test_every_step(self) -> None:
        """Each step whose lesson serves the page has a test here."""
        forgotten = [step.name for step in steps() if step.number >= 2 and not hasattr(self, f"test_step_{step.name}")]
        if forgotten:
            tests = " and ".join(f"test_step_{name}" for name in forgotten)
            pytest.fail(f"Nobody tries these solutions with two tabs yet: write TestSolutions.{tests}.", pytrace=False)

    def test_step_02_echo(
        self, open_tab: Callable[[], "Page"], echo_lesson: Server, serve: Callable[[int], Server]
    ) -> None:
        """Each tab has its own counter, and neither a mistake nor a departure in one is felt in the other."""
        welcome = '{"type":"welcome"}'
        error = '{"type":"error","detail":"expected an echo or a bye, as JSON text"}'

        def ask(text: str) -> str:
            return json.dumps({"type": "echo", "text": text}, ensure_ascii=False)

        def answer(text: str, count: int) -> str:
            value = {"type": "echo", "text": text, "count": count}
            return as_shown(json.dumps(value, ensure_ascii=False, separators=(",", ":")))

        with serve(2) as server:
            page, other = open_tab(), open_tab()
            first = self.join(page, echo_lesson, server.ws())
            second = self.join(other, echo_lesson, server.ws())
            for tab in (first, second):
                wait_for_rows(tab, "← received text", 1)
                assert contents(tab, "← received text") == [welcome]
            self.talk(first, ask("hello"), answer("hello", 1), first)
            self.talk(first, ask("hello"), answer("hello", 2), first)
            self.talk(second, ask("good morning"), answer("good morning", 1), second)

            send(first, ask("hello"), "Send broken JSON")
            wait_for_rows(first, "← received text", 4)
            send(first, "00 01 ff", "Send as binary (hex)")
            wait_for_rows(first, "← received text", 5)
            assert contents(first, "← received text")[3:] == [error, error]

            for count, (what, text) in enumerate(HOSTILE.items(), 3):
                self.talk(first, ask(text), answer(text, count), first)
                assert_plain(page, what)
            count = 2 + len(HOSTILE)
            self.talk(second, ask("and you?"), answer("and you?", 2), second)
            assert contents(second, "← received text") == [welcome, answer("good morning", 1), answer("and you?", 2)]

            self.leave(server, lambda: press(second, "Drop without a goodbye"))
            self.talk(first, ask("still here"), answer("still here", count + 1), first)
            connect(second)
            wait_for_rows(second, "← received text", 4)
            self.talk(second, ask("back"), answer("back", 1), second)
            self.leave(server, other.close)
            self.talk(first, ask("still here"), answer("still here", count + 2), first)

            send(first, '{"type": "bye"}', "Send as JSON")
            wait_for_rows(first, "← received close", 1)
            assert contents(first, "← received close")[0].startswith("1000, normal closure. Reason: bye.")
            assert "Traceback" not in "\n".join(server.log)

    def test_step_03_rooms(
        self, open_tab: Callable[[], "Page"], echo_lesson: Server, serve: Callable[[int], Server]
    ) -> None:
        """A room is shared by the tabs in it, no other room hears of it, and it survives its members."""
        with serve(3) as server:
            page, other = open_tab(), open_tab()
            first = self.join(page, echo_lesson, server.ws("/ws/lobby"))
            second = self.join(other, echo_lesson, server.ws("/ws/lobby"))
            elsewhere = self.join_too(other, "Grace", server.ws("/ws/lab"))
            self.talk(first, "hello", "hello", first, second)
            self.talk(second, "good morning", "good morning", first, second)
            self.talk(elsewhere, "is anybody here?", "is anybody here?", elsewhere)

            for what, text in HOSTILE.items():
                # A text area turns every line end into one \n.
                self.talk(first, text, as_shown(text.replace("\r\n", "\n")), first, second)
                assert_plain(page, what)
                assert_plain(other, what)
            self.talk(elsewhere, "nobody?", "nobody?", elsewhere)
            assert contents(elsewhere, "← received text") == ["is anybody here?", "nobody?"]
            assert rows(first, "← received text").count() == 2 + len(HOSTILE)

            send(second, "00 01 ff", "Send as binary (hex)")
            wait_for_rows(second, "← received close", 1)
            assert contents(second, "← received close")[0].startswith("1003, unsupported data.")
            self.talk(first, "one is gone", "one is gone", first)
            connect(second)
            self.talk(first, "welcome back", "welcome back", first, second)
            self.leave(server, lambda: press(second, "Drop without a goodbye"))
            self.talk(first, "gone again", "gone again", first)
            connect(second)
            self.talk(second, "back again", "back again", first, second)
            self.leave(server, other.close, count=2)
            self.talk(first, "alone", "alone", first)
            assert "Traceback" not in "\n".join(server.log)

    def test_step_04_router(
        self, open_tab: Callable[[], "Page"], echo_lesson: Server, serve: Callable[[int], Server]
    ) -> None:
        """Rooms need a name, a listener hears of who comes and goes, and of nothing else."""
        strange = "<b>&amp;\u202eAda</b>"

        def path(room: str, name: str) -> str:
            return server.ws(f"/api/chat/ws/{quote(room, safe='')}?name={quote(name, safe='')}")

        def event(kind: str, room: str, name: str) -> str:
            value = {"type": kind, "room": room, "name": name}
            return as_shown(json.dumps(value, ensure_ascii=False, separators=(",", ":")))

        with serve(4) as server:
            page, other = open_tab(), open_tab()
            listener = self.join(page, echo_lesson, path("announcements", "Linus"))
            first = self.join_too(page, "Grace", path("lobby", "Grace"))
            second = self.join(other, echo_lesson, path("lobby", strange))
            elsewhere = self.join_too(other, "Grace", path("<i>lab", "A" * 20))
            heard = [
                event("joined", "lobby", "Grace"),
                event("joined", "lobby", strange),
                event("joined", "<i>lab", "A" * 20),
            ]
            wait_for_rows(listener, "← received text", 3)
            assert contents(listener, "← received text") == heard
            assert_plain(page, "a name and a room")
            self.talk(first, "hello", "hello", first, second)
            self.talk(second, "good morning", "good morning", first, second)
            press(other.locator("header"), "Add a connection")
            for address in (path("lobby", ""), path("lobby", "A" * 21), server.ws("/api/chat/ws/lobby"), server.ws()):
                self.refuse(card(other, "Linus"), address)

            for what, text in HOSTILE.items():
                # A text area turns every line end into one \n.
                self.talk(first, text, as_shown(text.replace("\r\n", "\n")), first, second)
                assert_plain(page, what)
                assert_plain(other, what)
            self.talk(elsewhere, "nobody?", "nobody?", elsewhere)
            assert contents(elsewhere, "← received text") == ["nobody?"]

            self.leave(server, lambda: press(second, "Drop without a goodbye"))
            wait_for_rows(listener, "← received text", 4)
            self.talk(first, "one is gone", "one is gone", first)
            connect(second)
            wait_for_rows(listener, "← received text", 5)
            self.talk(second, "back", "back", first, second)
            self.leave(server, other.close, count=2)
            wait_for_rows(listener, "← received text", 7)
            heard += [event("left", "lobby", strange), event("joined", "lobby", strange)]
            # The tab's two connections end at the same time.
            gone = {event("left", "lobby", strange), event("left", "<i>lab", "A" * 20)}
            assert contents(listener, "← received text")[:5] == heard
            assert set(contents(listener, "← received text")[5:]) == gone
            self.talk(first, "alone", "alone", first)

            send(listener, "hello")
            wait_for_rows(listener, "← received close", 1)
            assert contents(listener, "← received close")[0].startswith("1008, policy violation.")
            self.talk(first, "still here", "still here", first)
            assert "Traceback" not in "\n".join(server.log)

    def test_step_05_sessions(
        self, open_tab: Callable[[], "Page"], echo_lesson: Server, serve: Callable[[int], Server]
    ) -> None:
        """Members with names: who is there, in how many tabs, messages with their sender, and a removal."""
        strange = "<b>&amp;\u202eAda</b>"

        def path(name: str) -> str:
            return server.ws(f"/ws/lobby?name={quote(name, safe='')}")

        def frame(**value: object) -> str:
            value = {"from" if key == "sender" else key: each for key, each in value.items()}
            return as_shown(json.dumps(value, ensure_ascii=False, separators=(",", ":")))

        def say(text: str) -> str:
            return json.dumps({"type": "message", "text": text}, ensure_ascii=False)

        with serve(5) as server:
            page, other = open_tab(), open_tab()
            first = self.join(page, echo_lesson, path("Grace"))
            second = self.join(other, echo_lesson, path(strange))
            wait_for_rows(first, "← received text", 2)
            there = as_shown(f"In the room: {strange}, Grace")
            for tab in (first, second):
                assert tab.locator(".members").text_content() == there
            assert_plain(other, "a name")
            also = self.join_too(other, "Grace", path(strange))
            self.talk(first, say("hello"), frame(type="message", sender="Grace", text="hello"), first, also)
            wait_for_rows(second, "← received text", 2)
            for what, text in HOSTILE.items():
                expected = frame(type="message", sender=strange, text=text)
                self.talk(second, say(text), expected, first, second, also)
                assert_plain(page, what)
            whisper = json.dumps({"type": "direct", "to": strange, "text": "psst"})
            self.talk(first, whisper, frame(type="direct", sender="Grace", text="psst"), second, also)
            send(first, "no JSON")
            wait_for_rows(first, "← received text", 4 + len(HOSTILE))
            assert contents(first, "← received text")[-1].startswith('{"type":"error"')

            # One of two tabs drops, and nobody is told; then the other goes with its page.
            self.leave(server, lambda: press(second, "Drop without a goodbye"))
            self.talk(first, say("still two"), frame(type="message", sender="Grace", text="still two"), first, also)
            assert first.locator(".members").text_content() == there
            self.leave(server, other.close)
            first.get_by_text("In the room: Grace", exact=True).wait_for()

            other = open_tab()
            second = self.join(other, echo_lesson, path("Ada"))
            httpx.delete(f"{server.url}/rooms/lobby/members/Ada", trust_env=False).raise_for_status()
            wait_for_rows(second, "← received close", 1)
            assert contents(second, "← received close")[0].startswith("1008, policy violation. Reason: removed.")
            first.get_by_text("In the room: Grace", exact=True).wait_for()
            self.refuse(second, server.ws("/ws/lobby"))
            assert "Traceback" not in "\n".join(server.log)

    def test_step_06_auth(self, open_tab: Callable[[], "Page"], serve: Callable[..., Server]) -> None:
        """The page logs in, buys a ticket and gets in; who may not is not let in, and a reader is told so."""
        port = free_port()
        origin = f"http://127.0.0.1:{port}"

        def join(page: "Page", room: str, user: str, password: str) -> "Locator":
            page.goto(f"{origin}/?address=/ws/{room}")
            client = card(page)
            client.get_by_text("Log in, come back").click()
            client.get_by_label("User").fill(user)
            client.get_by_label("Password").fill(password)
            return client

        def say(text: str) -> str:
            return json.dumps({"type": "message", "text": text}, ensure_ascii=False)

        with serve(6, port=port, ALLOWED_ORIGINS=origin) as server:
            page, other = open_tab(), open_tab()
            first = join(page, "lab", "Ada", "hopper")
            press(first, "Connect")
            first.get_by_text("Not logged in: the user or the password is wrong.").wait_for()
            assert rows(first, "→ sent open").count() == 0
            first.get_by_label("Password").fill("lovelace")
            connect(first)
            second = join(other, "lab", "Grace", "hopper")
            connect(second)
            for tab in (first, second):
                tab.get_by_text("In the room: Ada, Grace", exact=True).wait_for()
            heard = '{"type":"message","from":"Ada","text":"hello"}'
            self.talk(first, say("hello"), heard, first, second)
            for what, text in HOSTILE.items():
                value = {"type": "message", "from": "Ada", "text": text}
                expected = as_shown(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
                self.talk(first, say(text), expected, first, second)
                assert_plain(other, what)
            # Grace may only read here.
            before = rows(second, "← received text").count()
            send(second, say("may I?"))
            wait_for_rows(second, "← received text", before + 1)
            assert contents(second, "← received text")[-1].startswith('{"type":"error"')
            # Without a ticket, and where Linus may not be, nobody is let in; and the page is not told why.
            press(other.locator("header"), "Add a connection")
            self.refuse(card(other, "Grace"), server.ws("/ws/lab"))
            third = join(open_tab(), "lab", "Linus", "torvalds")
            press(third, "Connect")
            wait_for_rows(third, "• browser close", 1)
            assert contents(third, "• browser close")[0].startswith("1006, ")
            self.leave(server, other.close)
            first.get_by_text("In the room: Ada", exact=True).wait_for()
            # It comes back with a new ticket, because a ticket is good once.
            first.get_by_label("Come back by itself").check()
            press(first, "Drop without a goodbye")
            wait_for_rows(first, "← received open", 2)
            log = "\n".join(server.log)
            assert "Traceback" not in log
            assert not re.search(r"eyJ|Bearer|lovelace", log), "no token and no password in the log"

    def test_step_07_backpressure(
        self, open_tab: Callable[[], "Page"], echo_lesson: Server, serve: Callable[..., Server]
    ) -> None:
        """The page answers pings and stays; a page that does not is closed with 4408; a stop says 1012 to everybody."""

        def path(name: str) -> str:
            return server.ws(f"/ws/lobby?name={quote(name, safe='')}")

        def heard(number: int, sender: str, text: str) -> str:
            value = {"type": "message", "id": number, "from": sender, "text": text}
            return as_shown(json.dumps(value, ensure_ascii=False, separators=(",", ":")))

        def say(text: str) -> str:
            return json.dumps({"type": "message", "text": text}, ensure_ascii=False)

        with serve(7, HEARTBEAT="0.5") as server:
            page, other = open_tab(), open_tab()
            first = self.join(page, echo_lesson, path("Ada"))
            second = self.join(other, echo_lesson, path("<b>Grace"))
            first.get_by_text("In the room: <b>Grace, Ada", exact=True).wait_for()
            texts = list(HOSTILE.values())
            for number, text in enumerate(texts, 1):
                sender, name = (first, "Ada") if number % 2 else (second, "<b>Grace")
                send(sender, say(text))
                for tab in (first, second):
                    messages = tab.get_by_role("log").locator(".row.text.received", has_text=f'"id":{number},')
                    messages.wait_for()
                    content = "node => (node.querySelector('pre') ?? node.querySelector('.content')).textContent"
                    assert messages.evaluate(content) == heard(number, name, text)
                assert_plain(page, f"text {number}")
            rows(first, '→ sent text {"type": "pong"}').nth(4).wait_for()
            assert first.locator(".state").text_content() == "Open", "who answers stays"
            second.get_by_text("Log in, come back").click()
            second.get_by_label("Answer pings of the server").uncheck()
            wait_for_rows(second, "← received close", 1)
            assert contents(second, "← received close")[0].startswith("4408, timed out, like HTTP 408.")
            first.get_by_text("In the room: Ada", exact=True).wait_for()
            server.stop(5)
            wait_for_rows(first, "← received close", 1)
            assert contents(first, "← received close")[0].startswith("1012, service restart.")
            assert "Traceback" not in "\n".join(server.log)

    def test_step_08_reconnect(
        self, open_tab: Callable[[], "Page"], echo_lesson: Server, serve: Callable[..., Server], tmp_path: Path
    ) -> None:
        """The page comes back by itself and misses nothing, also when the server is killed."""
        settings = {"JOURNAL": str(tmp_path / "journal")}

        def say(text: str, **more: str) -> str:
            return json.dumps({"type": "message", "text": text} | more, ensure_ascii=False)

        def heard(client: "Locator") -> list[str]:
            texts = [json.loads(text) for text in contents(client, "← received text")]
            return [f"{each['id']} {each['text']}" for each in texts if each["type"] == "message"]

        with serve(8, **settings) as server:
            page, other = open_tab(), open_tab()
            first = self.join(page, echo_lesson, server.ws("/ws/lobby?name=Ada"))
            second = self.join(other, echo_lesson, server.ws("/ws/lobby?name=Grace"))
            for client in (first, second):
                client.get_by_text("Log in, come back").click()
                client.get_by_label("Come back by itself").check()
            first.get_by_text("In the room: Ada, Grace", exact=True).wait_for()
            texts = [text for what, text in HOSTILE.items() if what not in ("100 kB", "control characters")]
            texts += ["one", "two"]
            for number, text in enumerate(texts, 1):
                send(first, say(text, key=f"k{number}"))
                rows(second, "← received text").filter(has_text=f'"id":{number},').wait_for()
                assert_plain(other, text)
            rows(first, "← received text").filter(has_text=f'"key":"k{len(texts)}"').wait_for()
            press(second, "Drop without a goodbye")
            rows(second, "• browser wait").wait_for()
            send(first, say("meanwhile"))
            texts.append("meanwhile")
            wait_for_rows(second, "← received open", 2)
            rows(second, "← received text").filter(has_text="meanwhile").wait_for()
            server.kill()
            for client in (first, second):
                rows(client, "• browser wait").last.wait_for()
            with serve(8, port=server.port, **settings) as again:
                for client, times in ((first, 2), (second, 3)):
                    wait_for_rows(client, "← received open", times)
                    # A try that came too early may have been one more.
                    assert contents(client, "→ sent open")[-1].endswith(f"&after={len(texts)}")
                send(second, say("still here"))
                texts.append("still here")
                rows(first, "← received text").filter(has_text="still here").wait_for()
                rows(second, "← received text").filter(has_text="still here").wait_for()
                assert "Traceback" not in "\n".join([*server.log, *again.log])
            expected = [as_shown(f"{number} {text}") for number, text in enumerate(texts, 1)]
            assert heard(first) == heard(second) == expected

    def test_step_09_scale_out(
        self, open_tab: Callable[[], "Page"], echo_lesson: Server, serve: Callable[..., Server]
    ) -> None:
        """Two tabs at two processes share a room, and one comes back to the other process without missing anything."""
        redis = RedisServer()

        def say(text: str) -> str:
            return json.dumps({"type": "message", "text": text}, ensure_ascii=False)

        def heard(client: "Locator") -> list[str]:
            texts = [json.loads(text) for text in contents(client, "← received text")]
            return [f"{each['id']} {each['text']}" for each in texts if each["type"] == "message"]

        try:
            with serve(9, BROKER=redis.url) as one, serve(9, BROKER=redis.url) as two:
                page, other = open_tab(), open_tab()
                first = self.join(page, echo_lesson, one.ws("/ws/lobby?name=Ada"))
                second = self.join(other, echo_lesson, two.ws("/ws/lobby?name=<b>Grace"))
                for client in (first, second):
                    client.get_by_text("In the room: <b>Grace, Ada", exact=True).wait_for()
                texts = [text for what, text in HOSTILE.items() if what not in ("100 kB", "control characters")]
                for number, text in enumerate(texts, 1):
                    send((first, second)[number % 2], say(text))
                    for client in (first, second):
                        rows(client, "← received text").filter(has_text=f'"id":{number},').wait_for()
                    assert_plain(page, text)
                    assert_plain(other, text)
                press(second, "Close")
                first.get_by_text("In the room: Ada", exact=True).wait_for()
                texts.append("meanwhile")
                send(first, say("meanwhile"))
                rows(first, "← received text").filter(has_text="meanwhile").wait_for()
                second.get_by_label("Address").fill(one.ws(f"/ws/lobby?name=Grace&after={len(texts) - 1}"))
                connect(second)
                rows(second, "← received text").filter(has_text="meanwhile").wait_for()
                expected = [as_shown(f"{number} {text}") for number, text in enumerate(texts, 1)]
                assert heard(first) == heard(second) == expected
                assert "Traceback" not in "\n".join([*one.log, *two.log])
        finally:
            redis.close()
