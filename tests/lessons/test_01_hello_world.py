"""Step 01: what its notebook states about the lesson, verified on the running lesson."""

import httpx
import pytest
from judge.handshakes import handshake
from judge.subject import Subject
from workshop.course import find_step
from workshop.server import Server

HELLO = {"message": "Hello World"}


@pytest.mark.anyio
class TestLesson:
    async def test_hello(self, lesson: Subject) -> None:
        """The lesson answers with JSON, under uvicorn."""
        response = await lesson.get("/", likely="")
        assert response.json() == HELLO
        assert response.headers["content-type"] == "application/json"

    def test_hypercorn(self) -> None:
        """The same file runs under hypercorn."""
        step = find_step(1)
        with Server("main:app", step.folder, module="hypercorn") as server:
            assert httpx.get(f"{server.url}/", trust_env=False).json() == HELLO
            assert server.command.startswith("hypercorn steps/01_hello_world/main:app --bind 127.0.0.1:")

    async def test_no_such_path(self, lesson: Subject) -> None:
        """A path without a route is answered with 404, and the answer says so in JSON."""
        response = await lesson.get("/hello/Ada", likely="")
        assert (response.status_code, response.json()) == (404, {"detail": "Not Found"})

    async def test_documentation(self, lesson: Subject) -> None:
        """FastAPI describes the route by itself."""
        description = await lesson.get_json("/openapi.json", likely="")
        assert list(description["paths"]) == ["/"]
        assert (await lesson.get("/docs", likely="")).status_code == 200

    async def test_no_socket(self, lesson: Subject) -> None:
        """No socket is served: the handshake is refused with 403."""
        assert await handshake(lesson.server.ws("/ws"), 2.0) == 403
