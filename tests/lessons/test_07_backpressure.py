"""Step 07: what its notebook states about a queue for each member, verified on the running lesson."""

import asyncio
import contextlib
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from harness.guesses import assert_right
from judge.clients import Client, anything
from judge.members import PING, Members, left
from judge.messages import parsed
from judge.slow_readers import LARGE, LONGEST_WAIT, holds, in_one_piece
from judge.subject import Subject
from judge.tasks import spawn
from websockets.exceptions import ConnectionClosed
from workshop.course import ROOT
from workshop.server import Server

MANY = 200
"""Large messages, more than enough to drop a member of the lesson that reads nothing."""
GATHER = """

async def send(tabs, message):
    await asyncio.gather(*(tab.send_json(message) for tab in tabs), return_exceptions=True)
"""
"""At the end of the manager of step 05: it sends to all at the same time."""


async def read_on(tab: Client, seconds: float) -> list[Any]:
    """What comes within this time, until the connection ends."""
    values: list[Any] = []
    with contextlib.suppress(TimeoutError, ConnectionClosed):
        async with asyncio.timeout(seconds):
            while True:
                frame = await tab.connection.recv()
                values.append(parsed(frame) if isinstance(frame, str) else frame)
    return values


@pytest.mark.anyio
class TestLesson:
    async def test_goes_on(self, lesson: Subject) -> None:
        """Beside a member that reads nothing the room goes on; that member is dropped and leaves the list at once."""
        members = Members(lesson)
        room = members.room()
        waits = await self._waits(lesson, room)
        assert len(waits) == MANY
        assert min(waits[MANY // 2 :]) < LONGEST_WAIT
        await members.eventually_empty(room, after="all have left", likely="")
        assert "Traceback" not in await lesson.settle()

    async def test_before(self) -> None:
        """In the solution of step 05, and with gather in it, the room stands still."""
        for gather in (False, True):
            with tempfile.TemporaryDirectory() as folder:
                shutil.copytree(ROOT / "solutions" / "05_sessions" / "exercise", Path(folder) / "exercise")
                if gather:
                    with (Path(folder) / "exercise" / "manager.py").open("a", encoding="utf-8") as file:
                        file.write(GATHER)
                with Server("exercise.main:app", Path(folder)) as server:
                    subject = Subject(server, 1.0, Path(folder))
                    waits = await self._waits(subject, "lobby")
                    assert 10 < len(waits) < MANY
                    if gather:
                        assert_right("07.1", len(waits))
                    await subject.close()

    @staticmethod
    async def _waits(subject: Subject, room: str) -> list[float]:
        """How long Grace waited for each message of Ada, up to one that does not come, while Linus reads nothing."""
        members = Members(subject, PING)
        waits: list[float] = []
        async with (
            members.tab(room, "Ada") as ada,
            members.tab(room, "Linus") as linus,
            members.tab(room, "Grace") as grace,
        ):
            linus.stop_reading()
            reading = spawn(read_on(ada, 60))
            with contextlib.suppress(TimeoutError):
                for number in range(MANY):
                    start = time.perf_counter()
                    async with asyncio.timeout(2 * subject.patience):
                        await ada.send({"type": "message", "text": f"{number} {LARGE}"})
                        while f'"text":"{number} ' not in str(await grace.connection.recv()):
                            pass
                    waits.append(time.perf_counter() - start)
            reading.cancel()
            linus.connection.transport.abort()
        return waits

    async def test_held(self, lesson: Subject) -> None:
        """Who was dropped stays connected: close() waits. So SIGTERM does not end the process."""
        async with lesson.another() as own:
            members = Members(own)
            async with (
                members.tab("lobby", "Ada") as ada,
                members.tab("lobby", "Linus", small_buffers=True) as linus,
            ):
                linus.stop_reading()
                gone = False
                for _ in range(MANY):
                    # One at a time, for a burst would drop Ada too.
                    await ada.send({"type": "message", "text": LARGE})
                    frame = None
                    while not isinstance(frame, dict) or frame["type"] != "message":
                        frame = await ada.next_object(expect="", likely="")
                        gone = gone or frame == left("Linus")
                await members.are("lobby", "Ada", after="Linus was dropped", likely="")
                assert gone
                await asyncio.sleep(1)
                assert holds(own, linus)
                own.server.terminate()
                await ada.is_closed(1012, likely="", besides=anything)
                await asyncio.sleep(1)
                runs = own.server.exit_code is None
                held = runs and holds(own, linus)
                assert_right("07.2", f"{'runs' if runs else 'ended'}, {'held' if held else 'free'}")

    async def test_burst(self, lesson: Subject) -> None:
        """A burst in one write drops members who read."""
        members = Members(lesson)
        async with members.tab("lobby", "Ada") as ada, members.tab("lobby", "Grace") as grace:
            ada.connection.transport.write(in_one_piece([str(number) for number in range(400)]))
            for tab in (ada, grace):
                assert len(await tab.is_closed(1013, likely="", besides=anything)) < 400
            assert_right("07.3", [ada.connection.close_code, grace.connection.close_code].count(1013))

    async def test_protocol_pings(self, lesson: Subject) -> None:
        """A client library answers protocol pings for a program that hangs."""
        extra = ("--ws-ping-interval", "0.2", "--ws-ping-timeout", "0.2")
        server = Server(lesson.server.target, lesson.server.app_dir, extra=extra)
        await asyncio.to_thread(server.wait_until_ready)
        try:
            members = Members(Subject(server, 2.0, lesson.folder))
            async with members.tab("lobby", "Linus"):
                await asyncio.sleep(1)
                await members.are("lobby", "Linus", after="five pings", likely="")
                await members.subject.close()
        finally:
            server.kill()

    async def test_page(self, lesson: Subject) -> None:
        """The browser page is served at /."""
        assert (await lesson.get("/", likely="")).headers["content-type"].startswith("text/html")
