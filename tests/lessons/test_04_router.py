"""Step 04: what its notebook states about the package, verified on the running lesson."""

import subprocess
import sys

import httpx
import pytest
from fastapi import FastAPI
from harness.guesses import assert_right
from harness.sources import functions_of
from judge import rooms
from judge.subject import Subject
from workshop.course import CourseError, find_step
from workshop.server import Server, StartupError
from workshop.variants import lesson_variant

PATHS = ("/chat/ws/lobby", "/ws/lobby", "/chat/chat/ws/lobby", "/chat/ws/lobby/")
"""The path of a room; the others lack the prefix, repeat it, or end with a slash."""


@pytest.mark.anyio
class TestLesson:
    def test_begins_with_the_solution(self) -> None:
        """The lesson's module and the starter code have the functions of the solution of step 03."""
        before = functions_of(find_step(3).solution / "exercise.py")
        assert functions_of(find_step(4).folder / "app" / "chat.py") == before
        after = functions_of(find_step(4).folder / "exercise" / "main.py")
        assert {name: after.get(name) for name in before} == before

    async def test_rooms(self, lesson: Subject) -> None:
        """The rooms of the module survive their members, at paths with the router's prefix."""
        place = rooms.Rooms(lesson, "/chat/ws/{room}", "/chat/rooms")
        await rooms.reaches_the_room(place)
        await rooms.survives_disconnects(place)
        await rooms.forgets_the_disconnected(place)
        assert "Traceback" not in await lesson.settle()

    async def test_page(self, lesson: Subject) -> None:
        """The browser page is served at /."""
        assert (await lesson.get("/", likely="")).headers["content-type"].startswith("text/html")

    async def test_paths(self, lesson: Subject) -> None:
        """A path without the prefix, with the prefix twice, or with an additional slash gets 403."""
        answers = [await lesson.handshake(path) for path in PATHS]
        connections = [answer for answer in answers if not isinstance(answer, int)]
        for connection in connections:
            await connection.close()
        assert answers[1:] == [403, 403, 403]
        assert_right("04.2", len(connections))

    def test_module_for_router(self) -> None:
        """Including the module instead of its router ends uvicorn, with a message that doesn't name the mistake."""
        missing = "module 'app.chat' has no attribute '_contains_router'"
        result = "uvicorn started"
        with lesson_variant(4, "main.py", "include_router(chat.router)", "include_router(chat)") as folder:
            try:
                with Server("app.main:app", folder):
                    pass
            except StartupError as error:
                assert missing in str(error)
                result = "uvicorn didn't start"
        assert_right("04.1", result)

    async def test_route_order(self) -> None:
        """The first route that matches is used, even if a later one is more specific."""
        app = FastAPI()

        @app.get("/ws/{room_id}")
        async def room(room_id: str) -> str:
            return f"the room {room_id}"

        @app.get("/ws/announcements")
        async def announcements() -> str:
            return "the announcements"

        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            assert_right("04.3", (await client.get("/ws/announcements")).json())

    async def test_slash_over_http(self) -> None:
        """Over HTTP, a path with an additional slash is redirected."""
        app = FastAPI()

        @app.get("/rooms")
        async def list_rooms() -> None:
            pass

        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            response = await client.get("/rooms/")
        assert (response.status_code, response.headers["location"]) == (307, "http://test/rooms")

    def test_file_as_script(self) -> None:
        """A module of a package that's run by its path can't import with a dot."""
        command = [sys.executable, str(find_step(4).folder / "app" / "main.py")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert "ImportError: attempted relative import with no known parent package" in done.stderr

    def test_variant_without_the_code(self) -> None:
        """A variant whose code to replace isn't in the lesson once raises an error in one sentence."""
        for old in ("include_router(lobby.router)", "chat"):
            with pytest.raises(CourseError, match="times, not once"), lesson_variant(4, "main.py", old, ""):
                pass
