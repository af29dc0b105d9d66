"""Step 04: what its notebook states about the package, verified on the running lesson."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from harness.sources import functions_of
from judge import rooms
from judge.subject import Subject
from workshop.course import find_step
from workshop.server import Server, StartupError


@pytest.mark.anyio
class TestLesson:
    def test_begins_with_the_solution(self) -> None:
        """The module, and the file to be split, have the functions of the solution of step 03."""
        before = functions_of(find_step(3).solution / "exercise.py")
        assert functions_of(find_step(4).folder / "app" / "chat.py") == before
        after = functions_of(find_step(4).folder / "exercise" / "main.py")
        assert {name: after.get(name) for name in before} == before

    async def test_rooms(self, lesson: Subject) -> None:
        """The rooms of the module survive their members, at the router's prefix."""
        place = rooms.Rooms(lesson, "/chat/ws/{room}", "/chat/rooms")
        await rooms.reaches_the_room(place)
        await rooms.survives_disconnects(place)
        await rooms.forgets_the_disconnected(place)
        assert "Traceback" not in await lesson.settle()

    async def test_page(self, lesson: Subject) -> None:
        """The browser page is served at /."""
        assert (await lesson.get("/", likely="")).headers["content-type"].startswith("text/html")

    @pytest.mark.parametrize("path", ["/ws/lobby", "/chat/chat/ws/lobby", "/chat/ws/lobby/"])
    async def test_wrong_prefix(self, lesson: Subject, path: str) -> None:
        """A path without the prefix, with two of them, or with a slash too many is refused with 403."""
        assert await lesson.handshake(path) == 403

    def test_module_for_router(self, tmp_path: Path) -> None:
        """Including the module instead of its router ends uvicorn, with a message that names neither."""
        shutil.copytree(find_step(4).folder / "app", tmp_path / "app")
        main = tmp_path / "app" / "main.py"
        source = main.read_text("utf-8")
        assert "include_router(chat.router)" in source
        main.write_text(source.replace("include_router(chat.router)", "include_router(chat)"), "utf-8")
        with pytest.raises(StartupError, match="module 'app.chat' has no attribute '_contains_router'"):
            Server("app.main:app", tmp_path).wait_until_ready()

    def test_file_as_script(self) -> None:
        """A file of a package that is run by its path cannot import with a dot."""
        command = [sys.executable, str(find_step(4).folder / "app" / "main.py")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert "ImportError: attempted relative import with no known parent package" in done.stderr
