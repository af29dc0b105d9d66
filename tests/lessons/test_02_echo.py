"""Step 02: what its notebook states about the lesson, verified on the running lesson."""

import asyncio
import json
import re
from ast import literal_eval
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from harness.guesses import assert_right
from judge.clients import anything
from judge.subject import Subject
from websockets.asyncio.client import connect
from workshop.course import find_step
from workshop.server import Server

EVENTS = """
from fastapi import FastAPI, WebSocket

app = FastAPI()


@app.websocket("/ws")
async def events(websocket: WebSocket) -> None:
    await websocket.accept()
    for _ in range(3):
        print(await websocket.receive())
"""
"""An app that prints what receive() returns."""


@pytest.mark.anyio
class TestLesson:
    async def test_echo(self, lesson: Subject) -> None:
        """Each text message gets a reply with its text."""
        async with lesson.client() as ada:
            for text in ("hello", "안녕하세요", ""):
                await ada.send(text)
                await ada.gets(f"Message text was: {text}", likely="")

    async def test_page(self, lesson: Subject) -> None:
        """The browser page is served at /."""
        response = await lesson.get("/", likely="")
        assert response.headers["content-type"].startswith("text/html")

    @pytest.mark.parametrize("path", ["/ws/", "/chat", "/"])
    async def test_no_such_path(self, lesson: Subject, path: str) -> None:
        """A handshake for a path without a WebSocket route is rejected with 403, with a trailing slash too."""
        status = await lesson.handshake(path)
        assert status == 403
        if path == "/ws/":
            assert_right("02.2", status)

    async def test_redirect(self) -> None:
        """FastAPI redirects an HTTP request with a trailing slash, unlike a handshake."""
        app = FastAPI()

        @app.get("/items")
        async def items() -> list[str]:
            return []

        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            response = await client.get("/items/")
        assert (response.status_code, response.headers["location"]) == (307, "http://test/items")

    async def test_binary_frame(self, lesson: Subject) -> None:
        """A binary message ends its own connection, without a close frame, and no other connection."""
        async with lesson.client() as ada, lesson.client() as grace:
            await ada.send(b"\x00\x01")
            await ada.is_closed(1006, likely="", besides=anything)
            assert_right("02.1", f"close code {ada.connection.close_code}")
            await grace.send("still there?")
            await grace.gets("Message text was: still there?", likely="")
        assert (await lesson.settle()).count("KeyError: 'text'") == 1

    async def test_receive(self, tmp_path: Path) -> None:
        """receive() returns what the table in the notebook shows, for each kind of message."""
        (tmp_path / "events.py").write_text(EVENTS, "utf-8")
        with Server("events:app", tmp_path) as server:
            async with connect(server.ws()) as ada:
                await ada.send("hello")
                await ada.send(b"\x00\x01")
            await asyncio.to_thread(server.wait_for, lambda log: any("disconnect" in line for line in log), 20)
            printed = [line for line in server.log if line.startswith("{")]
        cells = json.loads(find_step(2).notebook.read_text("utf-8"))["cells"]
        text = next(text for cell in cells if "what `receive()` returns" in (text := "".join(cell["source"])))
        shown = [literal_eval(each) for each in re.findall(r"\| `({.+})` \|", text)]
        assert [literal_eval(line) for line in printed] == shown

    async def test_fragments(self, lesson: Subject) -> None:
        """A message in fragments, with pings between them, gets one reply."""
        async with lesson.client() as ada:

            async def pieces() -> AsyncIterator[str]:
                for piece in ("Hello ", "from ", "Ada"):
                    yield piece
                    pong = await ada.connection.ping()
                    await pong

            replies = []
            async with asyncio.timeout(10):
                await ada.connection.send(pieces())
                await ada.connection.send("end")
                while (reply := await ada.next(expect="", likely="")) != "Message text was: end":
                    replies.append(reply)
            assert replies == ["Message text was: Hello from Ada"]
            assert_right("02.3", len(replies))

    async def test_client_closes(self, lesson: Subject) -> None:
        """The server answers a client's own close code with the same code, and logs no traceback."""
        async with lesson.client() as ada:
            await ada.connection.close(4000, "lunch")
            assert (ada.connection.close_code, ada.connection.close_reason) == (4000, "lunch")
        assert "Traceback" not in await lesson.settle()

    async def test_server_stops(self, lesson: Subject) -> None:
        """A server that stops closes its open connections with 1012."""
        async with lesson.client() as ada:
            await asyncio.to_thread(lesson.server.stop)
            await ada.is_closed(1012, likely="", besides=anything)

    async def test_reload(self, tmp_path: Path) -> None:
        """With --reload, saving the file closes open connections with 1012, and a new server answers."""
        (tmp_path / "page").mkdir()
        folder = tmp_path / "steps"
        folder.mkdir()
        source = (find_step(2).folder / "main.py").read_text("utf-8")
        (folder / "main.py").write_text(source, "utf-8")
        with Server("main:app", folder, reload=True, extra=["--reload-dir", str(folder)]) as server:
            subject = Subject(server, 10.0, folder)
            async with subject.client() as ada:
                await ada.send("hello")
                await ada.gets("Message text was: hello", likely="")
                (folder / "main.py").write_text(source.replace("Message text was", "You said"), "utf-8")
                await ada.is_closed(1012, likely="", besides=anything)
            # The port stays open during the restart, so the new server accepts this handshake.
            async with subject.client() as ada:
                await ada.send("hello")
                await ada.gets("You said: hello", likely="")
            await subject.close()
