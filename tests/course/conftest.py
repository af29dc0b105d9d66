"""Fixtures for the tests in Chromium: the browser, and for the browser page, its tabs and two servers."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from harness.browser import chromium
from harness.page import PAGE, SECONDS
from workshop.course import find_step
from workshop.server import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Dialog, Page

PARROT = f"""
from fastapi import FastAPI, WebSocket

app = FastAPI()
members: set[WebSocket] = set()


@app.websocket("/ws/{{room}}")
async def parrot(websocket: WebSocket, room: str) -> None:
    await websocket.accept()
    members.add(websocket)
    print("ROOM", room, flush=True)
    while (message := await websocket.receive())["type"] != "websocket.disconnect":
        text = message.get("text")
        print("GOT", repr(text or message.get("bytes"))[:40], flush=True)
        if text is None:
            await websocket.send_bytes(message["bytes"][::-1])
        elif text.startswith("close "):
            _, code, reason = text.split(" ", 2)
            await websocket.close(int(code), reason)
        elif text.startswith("to all: "):
            for member in members:
                await member.send_text(text)
        elif text == "many":
            for number in range(600):
                await websocket.send_text(f"value {{number}}")
        else:
            await websocket.send_text(text)
    members.remove(websocket)
    print("ENDED", room, flush=True)


app.frontend("/", directory={str(PAGE)!r})
"""


# Close it after each file: while Playwright is open, its process can't run tests that use asyncio.
@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Start one Chromium for the whole file."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def context(browser: "Browser") -> "BrowserContext":
    """Create one profile for all tests: the page stores nothing, so no test affects another one."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(SECONDS * 1000)
    return context


@pytest.fixture
def open_tab(context: "BrowserContext") -> Iterator[Callable[[], "Page"]]:
    """Return a function that opens a tab. At the end, close all tabs, and fail if one had an error or a dialog."""
    troubles: list[str] = []

    def refuse(dialog: "Dialog") -> None:
        troubles.append(f"a dialog: {dialog.message}")
        dialog.dismiss()

    def open_tab() -> "Page":
        page = context.new_page()
        page.on("pageerror", lambda error: troubles.append(f"an error: {error}"))
        page.on("dialog", refuse)
        return page

    yield open_tab
    for page in context.pages:
        page.close()
    assert troubles == []


@pytest.fixture
def page(open_tab: Callable[[], "Page"]) -> "Page":
    """Open an empty tab."""
    return open_tab()


@pytest.fixture(scope="module")
def echo_lesson() -> Iterator[Server]:
    """Start the lesson of step 02."""
    step = find_step(2)
    with Server(step.target("lesson"), step.folder) as server:
        yield server


@pytest.fixture(scope="module")
def parrot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a server that sends each message back, and whose log has every frame."""
    folder = tmp_path_factory.mktemp("parrot")
    (folder / "parrot.py").write_text(PARROT, "utf-8")
    with Server("parrot:app", folder, environment={"UVICORN_LOG_LEVEL": "debug"}) as server:
        yield server
