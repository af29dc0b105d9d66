"""Step 02: what its notebook states about the lesson, verified on the running lesson."""

import asyncio
from pathlib import Path

import pytest
from judge.clients import anything
from judge.subject import Subject
from workshop.course import find_step
from workshop.server import Server


@pytest.mark.anyio
class TestLesson:
    async def test_echo(self, lesson: Subject) -> None:
        """Each text comes back, with words before it."""
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
        """A handshake for a path without a socket is refused with 403."""
        assert await lesson.handshake(path) == 403

    async def test_binary_frame(self, lesson: Subject) -> None:
        """A binary frame ends its own session, without a close frame, and no other one."""
        async with lesson.client() as ada, lesson.client() as grace:
            await ada.send(b"\x00\x01")
            await ada.is_closed(1006, likely="", besides=anything)
            await grace.send("still there?")
            await grace.gets("Message text was: still there?", likely="")
        assert (await lesson.settle()).count("KeyError: 'text'") == 1

    async def test_client_closes(self, lesson: Subject) -> None:
        """A code of the client's own comes back, and leaves no traceback."""
        async with lesson.client() as ada:
            await ada.connection.close(4000, "lunch")
            assert (ada.connection.close_code, ada.connection.close_reason) == (4000, "lunch")
        assert "Traceback" not in await lesson.settle()

    async def test_server_stops(self, lesson: Subject) -> None:
        """A server that stops closes what is open with 1012."""
        async with lesson.client() as ada:
            await asyncio.to_thread(lesson.server.stop)
            await ada.is_closed(1012, likely="", besides=anything)

    async def test_reload(self, tmp_path: Path) -> None:
        """With --reload, saving the file closes what is open with 1012, and a new server answers."""
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
            # The socket listens all the while, so the new server finds the handshake waiting.
            async with subject.client() as ada:
                await ada.send("hello")
                await ada.gets("You said: hello", likely="")
            await subject.close()
