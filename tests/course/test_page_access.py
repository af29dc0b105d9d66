"""The browser page in Chromium: the keyboard, contrast, a phone's screen, and names for screen readers."""

import json
import re
from typing import TYPE_CHECKING

import pytest
from harness.page import card, complaints, connect, contents, press, rows, send, wait_for_rows
from workshop.server import Server

if TYPE_CHECKING:
    from playwright.sync_api import Page

# One process runs all files of the page, so only one browser is open at a time.
pytestmark = pytest.mark.xdist_group("page")


class TestAccess:
    def test_keyboard_alone(self, page: "Page", echo_lesson: Server) -> None:
        """With Tab and Enter alone, you connect, send, close, add a card and remove it."""
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
                    continue  # Between the last button and the first one, the focus is the browser's.
                assert outline == "solid", f"the focus isn't visible at {focused}"
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
        """Show everything that the page can show: every kind of row, every state, a complaint in each form."""
        page.goto(f"{server.url}/?address=/ws/lobby")
        press(page.locator("header"), "Add a connection")
        page.get_by_text("How this page works").click()
        ada, grace = card(page), card(page, "Grace")
        ada.get_by_text("Log in and reconnect").click()
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
        """axe-core finds nothing, contrast included, in the light and the dark color scheme."""
        from axe_playwright_python.sync_playwright import Axe

        page.emulate_media(color_scheme=scheme)
        self.fill(page, parrot)
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        dark = max(int(part) for part in re.findall(r"\d+", paper)[:3]) < 64
        assert dark == (scheme == "dark"), paper
        # axe can't measure the contrast of a row that's scrolled out of its log.
        page.add_style_tag(content=".log { height: auto }")
        found = Axe().run(page, options={"resultTypes": ["violations", "incomplete"]})
        assert found.violations_count == 0, found.generate_report()
        unsure = [each["id"] for each in found.response["incomplete"]]
        assert unsure == [], json.dumps(found.response["incomplete"], indent=1)[:3000]

    def test_phone(self, page: "Page", parrot: Server) -> None:
        """On a screen with a width of 360 pixels, nothing is cut off or needs horizontal scrolling."""
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
        """A screen reader gets the name of each group and field, and each new row."""
        page.goto(echo_lesson.url)
        ada = card(page)
        for name in ("Connection", "Send", "End"):
            assert ada.get_by_role("group", name=name, exact=True).count() == 1, name
        assert ada.get_by_role("log", name="Ada Log").count() == 1
        drop = ada.get_by_role("button", name="Drop without a close frame")
        assert drop.get_attribute("aria-describedby") == "about-drop"
        broken = ada.get_by_role("button", name="Send broken JSON")
        assert broken.get_attribute("aria-describedby") == "about-broken"
        assert page.locator("#about-drop, #about-broken").count() == 2
        described = ada.get_by_label("Message").get_attribute("aria-describedby")
        for part in described.split():
            assert page.locator(f"#{part}").count() == 1, part
