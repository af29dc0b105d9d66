"""The browser page in Chromium, with two tabs at every worked solution."""

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
    SECONDS,
    as_shown,
    assert_plain,
    card,
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
    from playwright.sync_api import Locator, Page

# One process runs all files of the page, so only one browser is open at a time.
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


@pytest.mark.thorough("the browser page with every worked solution")
class TestSolutions:
    """Two tabs against the worked solution of each step: for a step 05_name, write test_step_05_name."""

    @pytest.fixture
    def serve(self, tmp_path: Path) -> Callable[..., Server]:
        """Return a function that starts the solution of a step. Its log shows the end of a connection."""

        def serve(number: int, *, port: int = 0, **settings: str) -> Server:
            step = find_step(number)
            module = step.target("exercise").removesuffix(":app")
            # uvicorn's own log has no line for a client that ends without a close frame.
            source = WATCHED.format(folder=str(step.solution), module=module)
            (tmp_path / "watched.py").write_text(source, "utf-8")
            return Server("watched:app", tmp_path, port=port, environment=settings)

        return serve

    def join(self, page: "Page", lesson: Server, address: str) -> "Locator":
        """Open the lesson's page in this tab, and connect its first card to another server's address."""
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
        """Send a message, and wait until each of these cards has received one more, which is the expected one."""
        before = [rows(hearer, "← received text").count() for hearer in hearers]
        send(sender, message)
        for hearer, count in zip(hearers, before, strict=True):
            wait_for_rows(hearer, "← received text", count + 1)
            assert contents(hearer, "← received text")[count:] == [expected]

    def leave(self, server: Server, how: Callable[[], None], count: int = 1) -> None:
        """End a connection, and wait until this number of further endpoints has ended."""
        before = server.log.count("ENDED websocket")
        how()
        ended = server.wait_for(lambda log: log.count("ENDED websocket") >= before + count, SECONDS)
        assert ended, "the server doesn't detect the end of the connection"

    def refuse(self, client: "Locator", address: str) -> None:
        """Try an address whose handshake the server rejects."""
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
        """Each tab has its own counter. A malformed message or the end of one tab doesn't affect the other one."""
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

            self.leave(server, lambda: press(second, "Drop without a close frame"))
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
        """The tabs in a room share it, other rooms get none of its messages, and it survives its members."""
        with serve(3) as server:
            page, other = open_tab(), open_tab()
            first = self.join(page, echo_lesson, server.ws("/ws/lobby"))
            second = self.join(other, echo_lesson, server.ws("/ws/lobby"))
            elsewhere = self.join_too(other, "Grace", server.ws("/ws/lab"))
            self.talk(first, "hello", "hello", first, second)
            self.talk(second, "good morning", "good morning", first, second)
            self.talk(elsewhere, "is anybody here?", "is anybody here?", elsewhere)

            for what, text in HOSTILE.items():
                # A text area changes every line ending to one \n.
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
            self.leave(server, lambda: press(second, "Drop without a close frame"))
            self.talk(first, "gone again", "gone again", first)
            connect(second)
            self.talk(second, "back again", "back again", first, second)
            self.leave(server, other.close, count=2)
            self.talk(first, "alone", "alone", first)
            assert "Traceback" not in "\n".join(server.log)

    def test_step_04_router(
        self, open_tab: Callable[[], "Page"], echo_lesson: Server, serve: Callable[[int], Server]
    ) -> None:
        """Rooms require a name. A listener gets the joined and left announcements, and no other message."""
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
                # A text area changes every line ending to one \n.
                self.talk(first, text, as_shown(text.replace("\r\n", "\n")), first, second)
                assert_plain(page, what)
                assert_plain(other, what)
            self.talk(elsewhere, "nobody?", "nobody?", elsewhere)
            assert contents(elsewhere, "← received text") == ["nobody?"]

            self.leave(server, lambda: press(second, "Drop without a close frame"))
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
        """Members with names: the list, several tabs of a name, messages with their sender, and a removal."""
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

            # One of two tabs drops, and no member is notified; then the other one ends with its page.
            self.leave(server, lambda: press(second, "Drop without a close frame"))
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
        """The page logs in, gets a ticket and connects. Other users are rejected; a read-only user gets an error."""
        port = free_port()
        origin = f"http://127.0.0.1:{port}"

        def join(page: "Page", room: str, user: str, password: str) -> "Locator":
            page.goto(f"{origin}/?address=/ws/{room}")
            client = card(page)
            client.get_by_text("Log in and reconnect").click()
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
            # Grace only has permission to read here.
            before = rows(second, "← received text").count()
            send(second, say("may I?"))
            wait_for_rows(second, "← received text", before + 1)
            assert contents(second, "← received text")[-1].startswith('{"type":"error"')
            # A handshake without a ticket is rejected, and so is Linus's in the lab; the page can't see the reason.
            press(other.locator("header"), "Add a connection")
            self.refuse(card(other, "Grace"), server.ws("/ws/lab"))
            third = join(open_tab(), "lab", "Linus", "torvalds")
            press(third, "Connect")
            wait_for_rows(third, "• browser close", 1)
            assert contents(third, "• browser close")[0].startswith("1006, ")
            self.leave(server, other.close)
            first.get_by_text("In the room: Ada", exact=True).wait_for()
            # It reconnects with a new ticket, because a ticket can be redeemed only once.
            first.get_by_label("Reconnect automatically").check()
            press(first, "Drop without a close frame")
            wait_for_rows(first, "← received open", 2)
            log = "\n".join(server.log)
            assert "Traceback" not in log
            assert not re.search(r"eyJ|Bearer|lovelace", log), "no token and no password in the log"

    def test_step_07_backpressure(
        self, open_tab: Callable[[], "Page"], echo_lesson: Server, serve: Callable[..., Server]
    ) -> None:
        """A page that answers pings stays connected; without answers, it gets 4408. A shutdown sends 1012 to all."""

        def path(name: str) -> str:
            return server.ws(f"/ws/lobby?name={quote(name, safe='')}")

        def heard(number: int, sender: str, text: str) -> str:
            value = {"type": "message", "id": number, "from": sender, "text": text}
            return as_shown(json.dumps(value, ensure_ascii=False, separators=(",", ":")))

        def say(text: str) -> str:
            return json.dumps({"type": "message", "text": text}, ensure_ascii=False)

        with serve(7, HEARTBEAT_INTERVAL="0.5") as server:
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
            assert first.locator(".state").text_content() == "Open", "a client that answers pings stays connected"
            second.get_by_text("Log in and reconnect").click()
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
        """The page reconnects automatically and loses no message, even if the server is killed."""
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
                client.get_by_text("Log in and reconnect").click()
                client.get_by_label("Reconnect automatically").check()
            first.get_by_text("In the room: Ada, Grace", exact=True).wait_for()
            texts = [text for what, text in HOSTILE.items() if what not in ("100 kB", "control characters")]
            texts += ["one", "two"]
            for number, text in enumerate(texts, 1):
                send(first, say(text, key=f"k{number}"))
                rows(second, "← received text").filter(has_text=f'"id":{number},').wait_for()
                assert_plain(other, text)
            rows(first, "← received text").filter(has_text=f'"key":"k{len(texts)}"').wait_for()
            press(second, "Drop without a close frame")
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
                    # An earlier attempt may have failed.
                    assert contents(client, "→ sent open")[-1].endswith(f"&after={len(texts)}")
                send(second, say("still here"))
                texts.append("still here")
                rows(first, "← received text").filter(has_text="still here").wait_for()
                rows(second, "← received text").filter(has_text="still here").wait_for()
                assert "Traceback" not in "\n".join([*server.log, *again.log])
            expected = [as_shown(f"{number} {text}") for number, text in enumerate(texts, 1)]
            assert heard(first) == heard(second) == expected

    def test_step_09_client(
        self, open_tab: Callable[[], "Page"], echo_lesson: Server, serve: Callable[..., Server]
    ) -> None:
        """Two tabs talk to each other at the given server, which acknowledges a message that has a key."""
        with serve(9) as server:
            first = self.join(open_tab(), echo_lesson, server.ws("/ws/lobby?name=Ada"))
            second = self.join(open_tab(), echo_lesson, server.ws("/ws/lobby?name=Grace"))
            first.get_by_text("In the room: Ada, Grace", exact=True).wait_for()
            send(first, '{"type": "message", "text": "hello", "key": "k1"}')
            rows(second, "← received text").filter(has_text='"text":"hello"').wait_for()
            rows(first, "← received text").filter(has_text='"key":"k1"').wait_for()
            assert "Traceback" not in "\n".join(server.log)

    def test_step_10_scale_out(
        self, open_tab: Callable[[], "Page"], echo_lesson: Server, serve: Callable[..., Server]
    ) -> None:
        """Two tabs at two processes share a room, and one reconnects to the other process without losing a message."""
        redis = RedisServer()

        def say(text: str) -> str:
            return json.dumps({"type": "message", "text": text}, ensure_ascii=False)

        def heard(client: "Locator") -> list[str]:
            texts = [json.loads(text) for text in contents(client, "← received text")]
            return [f"{each['id']} {each['text']}" for each in texts if each["type"] == "message"]

        try:
            with serve(10, BROKER=redis.url) as one, serve(10, BROKER=redis.url) as two:
                page, other = open_tab(), open_tab()
                first = self.join(page, echo_lesson, one.ws("/ws/lobby?name=Ada"))
                second = self.join(other, echo_lesson, two.ws("/ws/lobby?name=<b>Grace"))
                # Each process lists its own members.
                for client, name in ((first, "Ada"), (second, "<b>Grace")):
                    client.get_by_text(f"In the room: {name}", exact=True).wait_for()
                texts = [text for what, text in HOSTILE.items() if what not in ("100 kB", "control characters")]
                for number, text in enumerate(texts, 1):
                    send((first, second)[number % 2], say(text))
                    for client in (first, second):
                        rows(client, "← received text").filter(has_text=f'"id":{number},').wait_for()
                    assert_plain(page, text)
                    assert_plain(other, text)
                press(second, "Close")
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

    def test_step_11_outages(
        self, open_tab: Callable[[], "Page"], echo_lesson: Server, serve: Callable[..., Server]
    ) -> None:
        """Two tabs at two processes share a room, and one reconnects to the other process without losing a message."""
        redis = RedisServer()

        def say(text: str) -> str:
            return json.dumps({"type": "message", "text": text}, ensure_ascii=False)

        def heard(client: "Locator") -> list[str]:
            texts = [json.loads(text) for text in contents(client, "← received text")]
            return [f"{each['id']} {each['text']}" for each in texts if each["type"] == "message"]

        try:
            with serve(11, BROKER=redis.url) as one, serve(11, BROKER=redis.url) as two:
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

    def test_step_12_testing(
        self, open_tab: Callable[[], "Page"], echo_lesson: Server, serve: Callable[..., Server]
    ) -> None:
        """The server under test keeps its promises in a browser: texts, 1003, and 4404 for a long name."""
        with serve(12) as server:
            page, other = open_tab(), open_tab()
            first = self.join(page, echo_lesson, server.ws("/ws/lobby"))
            second = self.join(other, echo_lesson, server.ws("/ws/lobby"))
            for what, text in HOSTILE.items():
                self.talk(first, text, as_shown(text.replace("\r\n", "\n")), first, second)
                assert_plain(other, what)
            send(second, "00 01 ff", "Send as binary (hex)")
            wait_for_rows(second, "← received close", 1)
            assert contents(second, "← received close")[0].startswith("1003, unsupported data.")
            self.talk(first, "still here", "still here", first)
            refused = self.join_too(other, "Grace", server.ws(f"/ws/{'x' * 21}"))
            wait_for_rows(refused, "← received close", 1)
            assert contents(refused, "← received close")[0].startswith("4404")
            assert "Traceback" not in "\n".join(server.log)

    def test_step_13_live_data(self, page: "Page", echo_lesson: Server, serve: Callable[..., Server]) -> None:
        """A card gets a snapshot, two messages that it doesn't answer, and errors; see also test_page_chart.py."""
        with serve(13) as server:
            tab = self.join(page, echo_lesson, server.ws("/ws"))
            for text in ("subscribe", "nowhere", "unsubscribe"):
                topic = text if text == "nowhere" else "memory"
                kind = "unsubscribe" if text == "unsubscribe" else "subscribe"
                send(tab, json.dumps({"type": kind, "topics": [topic]}), "Send as JSON")
                wait_for_rows(tab, "← received text", 3 if text == "subscribe" else 4 + (text == "unsubscribe"))
            kinds = [json.loads(text)["type"] for text in contents(tab, "← received text")]
            assert kinds == ["snapshot", "values", "values", "error", "unsubscribed"]
