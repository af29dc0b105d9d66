"""The browser page in Chromium: the member list, pings, reconnects, and logins."""

import json
import re
from typing import TYPE_CHECKING

import pytest
from harness.page import HOSTILE, assert_plain, card, connect, contents, press, rows, send, wait_for_rows
from workshop.server import Server

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

# One process runs all files of the page, so only one browser is open at a time.
pytestmark = pytest.mark.xdist_group("page")


class TestSessions:
    """The page's handling of the course's messages. The parrot sends any message that it receives."""

    def start(self, page: "Page", parrot: Server, *, again: bool = False) -> "Locator":
        """Connect a card, with or without automatic reconnects."""
        page.goto(f"{parrot.url}/?address=/ws/lobby")
        ada = card(page)
        ada.get_by_text("Log in and reconnect").click()
        if again:
            ada.get_by_label("Reconnect automatically").check()
        connect(ada)
        return ada

    def test_members(self, page: "Page", parrot: Server) -> None:
        """The list, and the members that join and leave. A notice before the list changes nothing."""
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
        assert there.text_content() == "", "the members are no longer known"

    def test_answers_pings(self, page: "Page", parrot: Server) -> None:
        """The page answers a ping of the server, unless you clear the checkbox."""
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
        """The page reconnects after a loss, with the last id, but not after a fatal code or its own close."""
        ada = self.start(page, parrot, again=True)
        send(ada, '{"type": "message", "id": 7, "from": "Grace", "text": "hello"}')
        wait_for_rows(ada, "← received text", 1)
        send(ada, "close 1012 restart")
        wait_for_rows(ada, "← received open", 2)
        assert contents(ada, "→ sent open")[-1].endswith("/ws/lobby?after=7")
        assert re.fullmatch(r"The next attempt starts in 0\.[2-5] s\.", contents(ada, "• browser wait")[-1])
        press(ada, "Drop without a close frame")
        wait_for_rows(ada, "← received open", 3)
        for code in (1000, 1008, 4401):
            send(ada, f"close {code} go away")
            wait_for_rows(ada, "← received close", rows(ada, "← received open").count() - 1)
            assert ada.locator(".state").text_content() == "Closed", code
            connect(ada)
        assert rows(ada, "• browser wait").count() == 2
        assert contents(ada, "→ sent open")[-1].endswith("/ws/lobby"), "Connect starts without the last id"
        send(ada, "close 1013 too slow")
        wait_for_rows(ada, "• browser wait", 3)
        press(ada, "Close")
        assert ada.locator(".state").text_content() == "Closed", "Close cancels the next attempt too"

    def test_log_in(self, page: "Page", parrot: Server) -> None:
        """If a login fails, one sentence explains it, and no connection is opened."""
        page.goto(f"{parrot.url}/?address=/ws/lobby")
        ada = card(page)
        ada.get_by_text("Log in and reconnect").click()
        ada.get_by_label("User").fill("Ada")
        press(ada, "Connect")
        ada.get_by_text("Not logged in: token returned HTTP 40").wait_for()
        page.route("**/token", lambda route: route.fulfill(status=401))
        press(ada, "Connect")
        ada.get_by_text("Not logged in: the user or the password is wrong.").wait_for()
        page.unroute("**/token")
        page.route("**/token", lambda route: route.fulfill(json={"access_token": "secret", "token_type": "bearer"}))
        page.route("**/ticket", lambda route: route.fulfill(json={"ticket": route.request.headers["authorization"]}))
        connect(ada)
        assert contents(ada, "→ sent open")[-1].endswith("/ws/lobby?ticket=…"), "the page doesn't show the ticket"
        assert "secret" not in page.content()
