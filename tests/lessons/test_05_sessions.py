"""Step 05: the claims of its notebook about one connection for each name, verified on the running lesson."""

import asyncio
import tempfile
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from fastapi import FastAPI, Request
from harness.guesses import assert_right
from judge.clients import Client
from judge.members import BAD, joined, left, said
from judge.messages import parsed
from judge.subject import Subject
from workshop.server import Server

RULES = """
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import BackgroundTasks, Depends, FastAPI, WebSocket

@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
    print(f"lifespan of {app.title}", flush=True)
    yield {"title": app.title}

app = FastAPI(title="outer", lifespan=lifespan)
mounted = FastAPI(title="mounted", lifespan=lifespan)

async def dependency() -> AsyncIterator[None]:
    yield
    print("after the yield", flush=True)

@mounted.websocket("/ws", dependencies=[Depends(dependency)])
async def endpoint(websocket: WebSocket, background: BackgroundTasks) -> None:
    background.add_task(print, "background task", flush=True)
    await websocket.accept()
    await websocket.send_text(websocket.state.title)
    await websocket.receive()
    print("the endpoint ends", flush=True)

app.mount("/mounted", mounted)
"""


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
    """Put a manager into the state."""
    yield {"manager": ""}


@pytest.mark.anyio
class TestLesson:
    async def test_names(self, lesson: Subject) -> None:
        """Members get notices and messages, with the name of the connection. A malformed message gets an error."""
        async with lesson.client("/ws/lobby?name=Ada") as ada, lesson.client("/ws/lobby?name=Grace") as grace:
            for notice in (joined("Ada"), joined("Grace")):
                await ada.gets(notice, likely="")
            await grace.gets(joined("Grace"), likely="")
            await grace.send({"type": "message", "text": "hello", "from": "Linus"})
            for member in (ada, grace):
                await member.gets(said("Grace", "hello"), likely="")
            for frame in BAD:
                await ada.send(frame)
                await ada.gets_error(likely="")
            await grace.leave()
            await ada.gets(left("Grace"), likely="")
        assert await lesson.handshake("/ws/lobby") == 403
        assert await lesson.handshake(f"/ws/lobby?name={'x' * 21}") == 403
        assert "Traceback" not in await lesson.settle()

    async def test_one_slot(self, lesson: Subject) -> None:
        """The second tab replaces the first, whose end deletes the second. The second tab's end raises an error."""
        async with lesson.client("/ws/lobby?name=Grace") as grace:
            await grace.gets(joined("Grace"), likely="")
            async with lesson.client("/ws/lobby?name=Ada") as first:
                await first.gets(joined("Ada"), likely="")
                async with lesson.client("/ws/lobby?name=Ada") as second:
                    await second.gets(joined("Ada"), likely="")
                    # The first tab received none of that: it's no longer in the room.
                    await grace.send({"type": "message", "text": "one"})
                    await second.gets(said("Grace", "one"), likely="")
                    await first.leave()
                    for message in (joined("Ada"), joined("Ada"), said("Grace", "one"), left("Ada")):
                        await grace.gets(message, likely="")
                    # Now the second tab isn't in the room either, and its connection is open.
                    await grace.send({"type": "message", "text": "two"})
                    await grace.gets(said("Grace", "two"), likely="")
                    await second.send({"type": "message", "text": "am I here?"})
                    await grace.gets(said("Ada", "am I here?"), likely="")
                    received = [text async for text in self._texts(second)]
                    state = "open" if second.connection.close_code is None else "closed"
                    assert_right("05.1", f"{state}, {len(received)}")
                    await second.leave()
        assert "KeyError: 'Ada'" in await lesson.settle()

    @staticmethod
    async def _texts(tab: Client) -> AsyncIterator[str]:
        while (frame := await tab.receives_any()) is not None:
            if parsed(frame)["type"] == "message":
                yield parsed(frame)["text"]

    async def test_presence(self, lesson: Subject) -> None:
        """A member gets a notice for each tab that joins, and one for the first tab that ends."""
        async with lesson.client("/ws/lab?name=Grace") as grace:
            await grace.gets(joined("Grace"), likely="")
            async with lesson.client("/ws/lab?name=Ada") as first, lesson.client("/ws/lab?name=Ada") as second:
                await second.gets(joined("Ada"), likely="")
                for tab in (first, second):
                    await tab.leave()
                    await lesson.settle()
            notices = []
            while (frame := await grace.receives_any()) is not None:
                assert parsed(frame)["name"] == "Ada"
                notices.append(parsed(frame)["type"])
            assert_right("05.2", ", ".join(notices))

    async def test_list_before_join(self) -> None:
        """If an await is between the list and the join, a member's name can be in neither the list nor a notice."""
        members: set[str] = set()
        received: dict[str, list[str]] = {"Ada": [], "Grace": []}

        async def join_badly(name: str) -> None:
            received[name] += [*members, name]
            await asyncio.sleep(0)
            for member in members:
                received[member].append(name)
            members.add(name)

        await asyncio.gather(join_badly("Ada"), join_badly("Grace"))
        assert "Grace" in received["Ada"]
        assert_right("05.3", ("Grace" in received["Ada"]) + ("Ada" in received["Grace"]))

    async def test_rules(self) -> None:
        """The rules for dependencies with yield, background tasks and the lifespan of a mounted application."""
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "rules.py").write_text(RULES, "utf-8")
            with Server("rules:app", Path(folder)) as server:
                subject = Subject(server, 2.0, Path(folder))
                async with subject.client("/mounted/ws") as client:
                    await client.gets("outer", likely="")
                    assert "after the yield" not in await subject.settle()
                    await client.leave()
                log = (await subject.settle()).splitlines()
                await subject.close()
        assert log.index("the endpoint ends") < log.index("after the yield")
        assert "background task" not in log
        assert "lifespan of outer" in log and "lifespan of mounted" not in log

    async def test_test_client(self) -> None:
        """TestClient runs the lifespan only inside a with statement."""
        with warnings.catch_warnings(action="ignore"):
            from fastapi.testclient import TestClient

        app = FastAPI(lifespan=lifespan)

        @app.get("/")
        async def state(request: Request) -> bool:
            return hasattr(request.state, "manager")

        assert TestClient(app).get("/").json() is False
        with TestClient(app) as client:
            assert client.get("/").json() is True

    async def test_page(self, lesson: Subject) -> None:
        """The browser page is served at /."""
        assert (await lesson.get("/", likely="")).headers["content-type"].startswith("text/html")
