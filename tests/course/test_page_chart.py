"""The page with the live lines in Chromium: values and their age, slow readers, the rate, access, hostile texts."""

import json
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import quote
from uuid import uuid4

import pytest
from harness.page import HOSTILE, PAGE, SECONDS
from workshop.course import find_step
from workshop.server import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

# One process runs all files of the page, so only one browser is open at a time.
pytestmark = pytest.mark.xdist_group("page")

PATIENCE = 60_000
"""The longest wait for many samples, in milliseconds."""
MAX_ALERTS = 50
"""Alerts that the page keeps."""
MAX_CHARACTERS = 500
"""Characters that it shows of an alert."""

FEED = f"""
import json
import time

from fastapi import FastAPI, WebSocket

app = FastAPI()
closed: set[str] = set()
HOSTILE = {list(HOSTILE.values())!r}
MALFORMED = [
    "no JSON", "[]", "null", '{{"type": "values"}}', '{{"type": "values", "values": null}}',
    '{{"type": "values", "first": 2, "last": 2, "values": {{"cpu": "<b>1</b>", "state": 1, "clock": {{}}}}}}',
]


@app.websocket("/ws/{{script:path}}")
async def feed(websocket: WebSocket, script: str) -> None:
    await websocket.accept()
    print("CONNECTED", script, flush=True)
    print("GOT", await websocket.receive_text(), flush=True)
    values = {{"cpu": 12.34, "memory": 40, "received": 1234567.8, "connections": 3, "clock": time.time()}}
    await websocket.send_json({{"type": "snapshot", "seq": 7, "values": values}})
    if script.startswith("once") and script not in closed:
        closed.add(script)
        await websocket.close(4001, "until <i>tomorrow</i>")
        return
    if script.startswith("hostile"):
        for text in [*(f"alert {{number}}" for number in range(60)), *HOSTILE]:
            await websocket.send_json({{"type": "alert", "text": text}})
        for text in MALFORMED:
            await websocket.send_text(text)
        await websocket.send_json({{"type": "error", "detail": "<b>the end</b>"}})
    while (message := await websocket.receive())["type"] != "websocket.disconnect":
        print("GOT", message.get("text"), flush=True)


app.frontend("/", directory={str(PAGE)!r})
"""

COLUMNS = """topic => {
    const canvas = document.querySelector("#lines");
    const color = getComputedStyle(document.querySelector(`#${topic}-key`)).color.match(/\\d+/g).map(Number);
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    const columns = new Set();
    for (let index = 0; index < data.length; index += 4) {
        const near = color.every((part, offset) => Math.abs(part - data[index + offset]) < 30);
        if (data[index + 3] > 100 && near) columns.add((index / 4) % canvas.width);
    }
    return [...columns].sort((one, other) => one - other);
}"""
"""Return the columns of the canvas that have a pixel in the color of a line."""


@pytest.fixture(scope="module")
def live_lesson() -> Iterator[Server]:
    """Start the lesson of step 13, which serves the page."""
    step = find_step(13)
    with Server(step.target("lesson"), step.folder) as server:
        yield server


@pytest.fixture(scope="module")
def live_solution() -> Iterator[Server]:
    """Start the worked solution of step 13, which serves no page."""
    step = find_step(13)
    with Server(step.target("exercise"), step.solution) as server:
        yield server


@pytest.fixture(scope="module")
def feed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a server that serves the page, sends what the path of its endpoint names, and logs what it receives."""
    folder = tmp_path_factory.mktemp("feed")
    (folder / "feed.py").write_text(FEED, "utf-8")
    with Server("feed:app", folder) as server:
        yield server


def view(page: "Page", server: Server, address: str = "ws") -> None:
    """Open the page on this server, and wait until it has a value of an address, which may be another server's."""
    page.goto(f"{server.url}/chart.html?address={quote(address, safe='')}")
    wait_until(page, "number('age') >= 0")


def number(page: "Page", name: str) -> float:
    """Return a number that the page shows, such as age or last."""
    return float(page.locator(f"#{name}").inner_text().replace(",", ""))


def wait_until(page: "Page", condition: str) -> None:
    """Wait until an expression in JavaScript is true, in which number("age") is a number that the page shows."""
    read = "const number = (id) => parseFloat(document.getElementById(id).textContent.replaceAll(',', ''));"
    page.wait_for_function(f"() => {{ {read} return {condition}; }}", timeout=PATIENCE)


def wait_for_state(page: "Page", start: str) -> str:
    """Wait until the state of the connection begins with these words, and return all of it."""
    state = page.get_by_role("status").filter(has_text=re.compile(f"^{start}"))
    state.wait_for(timeout=PATIENCE)
    return state.inner_text()


def columns(page: "Page", topic: str) -> list[int]:
    """Return the columns of the canvas with a pixel of this line."""
    return page.evaluate(COLUMNS, topic)


def wait_for_line(page: "Page", topic: str, width: int) -> None:
    """Wait until the line has pixels in this number of columns."""
    enough = f"([topic, width]) => ({COLUMNS})(topic).length >= width"
    page.wait_for_function(enough, arg=[topic, width], timeout=PATIENCE)


def pieces(found: list[int]) -> int:
    """Return how many pieces these columns have, without the gaps between them."""
    return 1 + sum(later > earlier + 1 for earlier, later in zip(found, found[1:], strict=False))


class TestLines:
    def test_lesson(self, page: "Page", live_lesson: Server) -> None:
        """The page draws both lines, one of them dashed, up to now, and shows every sample with its age."""
        view(page, live_lesson)
        for topic in ("cpu", "memory"):
            wait_for_line(page, topic, 120)
        cpu, memory = columns(page, "cpu"), columns(page, "memory")
        assert pieces(cpu) == 1
        assert pieces(memory) >= 10
        assert cpu[-1] > page.evaluate("document.querySelector('#lines').width") * 0.9, "the right edge is now"
        before = number(page, "last")
        wait_until(page, f"number('last') > {before + 5}")
        assert number(page, "covered") == 1
        assert number(page, "unread") == 0
        for name in ("cpu", "memory", "received", "sent", "connections", "age"):
            assert number(page, name) >= 0, name
        assert wait_for_state(page, "Open") == f"Open: {live_lesson.ws()}"

    def test_summary(self, page: "Page", live_lesson: Server) -> None:
        """A screen reader gets the lines as a sentence, which changes once a second at most."""
        view(page, live_lesson)
        page.evaluate("""() => {
            const [canvas, state] = [document.querySelector("#lines"), document.querySelector("#state")];
            [window.changes, window.since] = [0, performance.now()];
            const watcher = new MutationObserver((list) => (window.changes += list.length));
            watcher.observe(canvas, { attributeFilter: ["aria-label"] });
            watcher.observe(state, { childList: true, characterData: true, subtree: true });
        }""")
        wait_until(page, f"number('last') > {number(page, 'last') + 50}")
        changes, seconds = page.evaluate("[changes, (performance.now() - since) / 1000]")
        assert 1 <= changes <= seconds + 2
        label = page.locator("#lines").get_attribute("aria-label")
        assert re.fullmatch(r"cpu [\d.]+ %, memory [\d.]+ %, age [\d,]+ ms", label), label
        assert page.get_by_role("img", name=label).count() == 1

    def test_color_scheme(self, page: "Page", live_lesson: Server) -> None:
        """When the color scheme changes, the lines change their colors."""
        color = "getComputedStyle(document.querySelector('#memory-key')).color"
        found = set()
        view(page, live_lesson)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            wait_for_line(page, "memory", 20)
            found.add(page.evaluate(color))
        assert len(found) == 2

    def test_rate(self, page: "Page", live_lesson: Server, live_solution: Server) -> None:
        """With one message a second, a message of the solution covers many samples, and with twenty, only a few."""
        view(page, live_lesson, live_solution.ws())
        slider = page.get_by_label("Messages a second, at most")
        wait_until(page, "number('covered') <= 3")
        slider.fill("1")
        wait_until(page, "number('per-second') === 1 && number('covered') >= 6")
        slider.fill("20")
        wait_until(page, "number('covered') <= 3")


class TestSlowReaders:
    def test_solution(self, open_tab: Callable[[], "Page"], live_lesson: Server, live_solution: Server) -> None:
        """A slow tab stays connected and young, because it gets merged values, and the other tab isn't slowed."""
        quick, slow = open_tab(), open_tab()
        for page in (quick, slow):
            view(page, live_lesson, live_solution.ws())
        slow.get_by_label("Read slowly").check()
        start = number(quick, "last")
        wait_until(quick, f"number('last') > {start + 240}")
        # The samples have the same numbers for both tabs, and 20 to 60 are one to three reading pauses.
        behind = number(quick, "last") - number(slow, "last")
        assert 5 < behind < 120
        assert number(slow, "covered") >= 3
        assert number(slow, "unread") <= 2
        assert number(slow, "age") > number(quick, "age")
        wait_until(quick, "number('covered') <= 2")
        for page in (quick, slow):
            wait_for_state(page, "Open")

    def test_lesson(self, page: "Page", live_lesson: Server) -> None:
        """The lesson merges nothing, so a slow tab falls behind, and catches up when it reads quickly again."""
        view(page, live_lesson)
        slow = page.get_by_label("Read slowly")
        slow.check()
        wait_until(page, "number('unread') > 50")
        old = number(page, "age")
        assert number(page, "covered") == 1
        slow.uncheck()
        wait_until(page, f"number('unread') === 0 && number('age') < {old / 2}")
        wait_for_state(page, "Open")

    def test_too_slow(self, page: "Page") -> None:
        """With 200 unread messages, the page closes the connection, and the age of what it shows still grows."""
        step = find_step(13)
        with Server(step.target("lesson"), step.folder, environment={"SAMPLES_PER_SECOND": "100"}) as server:
            view(page, server)
            page.get_by_label("Read slowly").check()
            state = wait_for_state(page, "Closed")
            assert state == "Closed with the code 4000. Reason: more than 200 unread messages."
            wait_until(page, "number('unread') === 0")
            wait_until(page, f"number('age') > {number(page, 'age') + 500}")


class TestConnection:
    def test_reconnect(self, page: "Page", feed: Server) -> None:
        """The code and the reason of a close frame are shown, and Connect opens another connection at the same rate."""
        script = f"once/{uuid4()}"
        page.goto(f"{feed.url}/chart.html?address=/ws/{script}")
        assert wait_for_state(page, "Closed") == "Closed with the code 4001. Reason: until <i>tomorrow</i>."
        page.get_by_label("Messages a second, at most").fill("3")
        page.get_by_role("button", name="Connect").click()
        wait_for_state(page, "Open")
        wait_until(page, "number('last') === 7")
        assert feed.wait_for(lambda log: 'GOT {"type":"rate","per_second":3}' in log, SECONDS)
        page.get_by_role("button", name="Connect").click()
        page.get_by_label("Messages a second, at most").fill("4")
        assert feed.wait_for(lambda log: 'GOT {"type":"rate","per_second":4}' in log, SECONDS)
        assert feed.log.count(f"CONNECTED {script}") == 2, "while a connection is open, Connect opens no other one"

    def test_server_stops(self, page: "Page") -> None:
        """When the server stops, the state says so, and Connect finds it when it runs again."""
        step = find_step(13)
        with Server(step.target("lesson"), step.folder) as server:
            view(page, server)
            port = server.port
        assert re.match(r"Closed with the code (1006|1012)\.", wait_for_state(page, "Closed"))
        with Server(step.target("lesson"), step.folder, port=port):
            page.get_by_role("button", name="Connect").click()
            wait_for_state(page, "Open")
            wait_until(page, "number('last') >= 5")

    def test_address(self, page: "Page") -> None:
        """The page requests only its files, and its address follows its folder and protocol."""
        cases = {
            "http://course.test/chart.html": "ws://course.test/ws",
            "https://course.test/user/ada/proxy/8000/chart.html": "wss://course.test/user/ada/proxy/8000/ws",
            "https://course.test/a/chart.html?address=/ws/lab": "wss://course.test/a/ws/lab",
            "http://course.test/chart.html?address=ws://127.0.0.1:9/ws": "ws://127.0.0.1:9/ws",
        }
        asked: list[str] = []

        def answer(route: "Route") -> None:
            asked.append(route.request.url.split("?")[0].rpartition("/")[2])
            route.fulfill(path=PAGE / asked[-1])

        page.route("**", answer)
        for address, expected in cases.items():
            asked.clear()
            with page.expect_websocket() as opened:
                page.goto(address)
            assert opened.value.url == expected
            assert sorted(asked) == ["chart.css", "chart.html", "chart.js", "page.css", "session.js"]


class TestSafety:
    def test_hostile_texts(self, page: "Page", feed: Server) -> None:
        """Text from the wire stays text, a malformed message changes nothing, and old alerts are removed."""
        count = "document.querySelectorAll('*').length"
        view(page, feed, "/ws/quiet")
        elements = page.evaluate(count)
        view(page, feed, "/ws/hostile")
        alerts = page.get_by_role("log", name="Alerts").locator("> *")
        alerts.filter(has_text="<b>the end</b>").wait_for()
        expected = ["<b>the end</b>", *reversed([text[:MAX_CHARACTERS] for text in HOSTILE.values()])]
        texts = alerts.all_text_contents()
        assert texts[: len(expected)] == expected
        assert len(texts) == MAX_ALERTS
        assert page.evaluate(count) == elements + MAX_ALERTS
        assert page.title() == "Live chart"
        wait_until(page, "number('last') === 2")
        assert page.locator("#cpu").inner_text() == "12.3"
        assert page.locator("#received").inner_text() == "1,234,567.8"
        assert page.locator("#disk").inner_text() == "–"
        assert alerts.locator("xpath=..").get_attribute("aria-live") == "off", "a stream of alerts isn't read out"


class TestAccess:
    def test_keyboard_alone(self, page: "Page", feed: Server) -> None:
        """With Tab, Space, Enter and arrows, you open the help, connect, set the rate, and switch to slow reading."""

        def tab_to(label: str) -> None:
            for _ in range(12):
                page.keyboard.press("Tab")
                focused, outline = page.evaluate("""() => {
                    const node = document.activeElement;
                    return [node.labels?.[0] ?? node, getComputedStyle(node).outlineStyle]
                        .map((each) => (each.textContent ?? each).trim());
                }""")
                if page.evaluate("document.activeElement === document.body"):
                    continue  # Between the last element and the first one, the focus is the browser's.
                assert outline == "solid", f"the focus isn't visible at {focused}"
                if focused == label:
                    return
            pytest.fail(f"Tab does not reach {label}")

        page.goto(f"{feed.url}/chart.html?address=/ws/keyboard")
        wait_until(page, "number('last') === 7")
        tab_to("How this page works")
        page.keyboard.press("Enter")
        page.locator("details[open]").wait_for()
        tab_to("Messages a second, at most")
        page.keyboard.press("Home")
        page.keyboard.press("ArrowRight")
        assert feed.wait_for(lambda log: 'GOT {"type":"rate","per_second":2}' in log, SECONDS)
        wait_until(page, "number('per-second') === 2")
        tab_to("Read slowly")
        page.keyboard.press("Space")
        assert page.get_by_label("Read slowly").is_checked()
        tab_to("")  # The alerts, which scroll.
        assert page.evaluate("document.activeElement.id") == "alerts"
        before = feed.log.count("CONNECTED keyboard")
        page.goto(f"{feed.url}/chart.html?address=/nowhere")
        wait_for_state(page, "Closed")
        page.evaluate("history.replaceState(null, '', '?address=/ws/keyboard')")
        tab_to("Connect")
        page.keyboard.press("Enter")
        wait_for_state(page, "Open")
        assert feed.wait_for(lambda log: log.count("CONNECTED keyboard") == before + 1, SECONDS)

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_axe(self, page: "Page", feed: Server, scheme: str) -> None:
        """axe-core finds nothing, contrast included, in the light and the dark color scheme."""
        from axe_playwright_python.sync_playwright import Axe

        page.emulate_media(color_scheme=scheme)
        view(page, feed, "/ws/hostile")
        page.get_by_text("How this page works").click()
        page.get_by_role("log").get_by_text("the end").wait_for()
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        dark = max(int(part) for part in re.findall(r"\d+", paper)[:3]) < 64
        assert dark == (scheme == "dark"), paper
        # axe can't measure the contrast of a row that's scrolled out of its log.
        page.add_style_tag(content=".log { height: auto }")
        found = Axe().run(page, options={"resultTypes": ["violations", "incomplete"]})
        assert found.violations_count == 0, found.generate_report()
        assert found.response["incomplete"] == [], json.dumps(found.response["incomplete"], indent=1)[:3000]

    def test_phone(self, browser: "Browser", feed: Server) -> None:
        """On a phone of 360 pixels, nothing is cut off or scrolls sideways, and the lines have the screen's pixels."""
        context = browser.new_context(viewport={"width": 360, "height": 740}, device_scale_factor=3)
        page = context.new_page()
        view(page, feed, "/ws/hostile/" + "nowhere" * 12)
        page.get_by_text("How this page works").click()
        page.get_by_role("log").get_by_text("the end").wait_for()
        wide = """[document.documentElement, ...document.querySelectorAll("body, body *:not(legend)")]
            .filter(node => node.checkVisibility() && getComputedStyle(node).display !== "inline")
            .filter(node => node.getBoundingClientRect().right > innerWidth || node.scrollWidth > node.clientWidth)
            .map(node => node.outerHTML.slice(0, 80))"""
        assert page.evaluate(wide) == []
        size = "(({ width, clientWidth }) => [width, clientWidth])(document.querySelector('#lines'))"
        pixels, width = page.evaluate(size)
        assert width > 200
        assert pixels == width * 3
        context.close()
