"""Step 01: what its notebook states about the lesson, verified on the running lesson."""

import asyncio

import httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse
from harness.guesses import assert_right
from judge.handshakes import handshake
from judge.subject import Subject
from workshop.course import find_step
from workshop.server import Server

HELLO = {"message": "Hello World"}


@pytest.mark.anyio
class TestLesson:
    async def test_hello(self, lesson: Subject) -> None:
        """The lesson returns JSON, under uvicorn."""
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
        """A path without a route gets 404, with a detail in JSON."""
        response = await lesson.get("/hello/Ada", likely="")
        assert (response.status_code, response.json()) == (404, {"detail": "Not Found"})
        assert_right("01.1", response.status_code)

    async def test_other_method(self, lesson: Subject) -> None:
        """A known path with another method gets 405, and a header lists the allowed methods."""
        response = await lesson.request("POST", "/", likely="", json={"message": "Hello server"})
        assert (response.json(), response.headers["allow"]) == ({"detail": "Method Not Allowed"}, "GET")
        assert_right("01.2", response.status_code)

    async def test_documentation(self, lesson: Subject) -> None:
        """FastAPI generates a description of the route."""
        description = await lesson.get_json("/openapi.json", likely="")
        assert list(description["paths"]) == ["/"]
        assert (await lesson.get("/docs", likely="")).status_code == 200

    async def test_no_socket(self, lesson: Subject) -> None:
        """The lesson has no WebSocket route: the handshake is rejected with 403."""
        assert await handshake(lesson.server.ws("/ws"), 2.0) == 403


class TestText:
    """What the notebook states about Python and FastAPI."""

    def test_coroutine(self) -> None:
        """Calling an async function doesn't start its body, and a running loop doesn't start it either."""
        started = []

        async def greet() -> None:
            started.append("greet")

        async def call() -> str:
            result = greet()
            await asyncio.sleep(0.1)
            result.close()
            return type(result).__name__

        kind = asyncio.run(call())
        assert_right("01.3", f"{kind}, {'started' if started else 'not started'}")

    def test_loops(self) -> None:
        """A thread can have a second loop, but not run it; another thread can run one."""

        async def greet() -> str:
            return "hello"

        async def start() -> str:
            coroutine = greet()
            other = asyncio.new_event_loop()
            for run in (other.run_until_complete, asyncio.run):
                with pytest.raises(RuntimeError, match="running"):
                    run(coroutine)
            coroutine.close()
            other.close()
            return await asyncio.to_thread(lambda: asyncio.run(greet()))

        assert asyncio.run(start()) == "hello"

    def test_streams(self) -> None:
        """FastAPI has streaming responses and server-sent events."""
        app = FastAPI()

        @app.get("/parts")
        async def parts() -> StreamingResponse:
            return StreamingResponse(iter(["one ", "two"]))

        @app.get("/events", response_class=EventSourceResponse)
        async def events():
            yield {"news": 1}

        async def get(path: str) -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
                return await client.get(path)

        assert asyncio.run(get("/parts")).text == "one two"
        response = asyncio.run(get("/events"))
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.text == 'data: {"news": 1}\n\n'
