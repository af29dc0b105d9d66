"""The lessons and worked solutions from step 07 on work under other servers, with many members, and if a task fails."""

import asyncio
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from judge.members import Members, left, members_list
from judge.slow_readers import LARGE, read_slowly, stuck_members
from judge.subject import Subject
from websockets.asyncio.client import connect
from websockets.frames import Close, Opcode
from workshop.course import ROOT, find_step
from workshop.server import Server

pytestmark = [pytest.mark.thorough("solutions"), pytest.mark.anyio]

SOLUTIONS = [find_step(number).solution for number in (7, 8, 10, 11)]
PACKAGES = [
    *((folder, "exercise") for folder in SOLUTIONS),
    *((find_step(number).folder, "app") for number in (7, 8, 10)),
    (find_step(7).folder, "exercise"),
    (find_step(8).folder, "exercise"),
]
"""Every package whose members have a queue, with the folder that it's in. Other packages are copies of these."""
HOSTS = {
    "uvicorn": {},
    "websockets": {"extra": ("--ws", "websockets")},
    "wsproto": {"extra": ("--ws", "wsproto")},
    "asyncio": {"extra": ("--loop", "asyncio")},
    "trace": {"extra": ("--log-level", "trace")},
    "middleware": {"target": "outer:app"},
    "hypercorn": {"module": "hypercorn"},
}
"""Servers, their WebSocket implementations, and the middleware between a server and the application."""
OUTER = """
from exercise.main import app


class Tracing:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        async def traced(event):
            await send(event)

        await self.app(scope, receive, traced)


app.add_middleware(Tracing)
"""
"""The application of a solution behind a middleware that wraps `send`, as tracing middlewares do."""


def named(value: object) -> str | None:
    """Return how a parameter is shown in the name of a test."""
    return value.name if isinstance(value, Path) else None


def run_in(folder: Path, script: str) -> str:
    """Run a script that can import a package of this folder, and return its output.

    Raises:
        AssertionError: it ends with an error.
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def start(target: str, folder: Path, path: Path, **options: object) -> Server:
    """Start a module in a temporary folder that imports a solution."""
    server = Server(target, folder, environment={"PYTHONPATH": str(path), "HEARTBEAT_INTERVAL": "1"}, **options)
    await asyncio.to_thread(server.wait_until_ready)
    return server


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("folder", SOLUTIONS, ids=named)
async def test_hosts(folder: Path, host: str, tmp_path: Path) -> None:
    """A solution works under every server that can run it, with or without access to the transport."""
    (tmp_path / "outer.py").write_text(OUTER, "utf-8")
    options = {"target": "exercise.main:app"} | HOSTS[host]
    target = str(options.pop("target"))
    server = await start(target, tmp_path if target == "outer:app" else folder, folder, **options)
    try:
        async with connect(server.ws("/ws/lobby?name=Ada"), proxy=None) as ada, asyncio.timeout(10):
            assert json.loads(await ada.recv()) == {"type": "members", "names": ["Ada"]}
            await ada.send('{"type": "message", "text": "hello"}')
            while json.loads(await ada.recv()).get("text") != "hello":
                pass
        assert not [line for line in server.log if "Traceback" in line]
    finally:
        server.kill()


# Skip the solution of step 11: a task sends its notices, so no call is recursive.
@pytest.mark.parametrize(("folder", "package"), [each for each in PACKAGES if each[0] != SOLUTIONS[3]], ids=named)
def test_many_full_queues(folder: Path, package: str) -> None:
    """If 400 queues overflow at the same message, all are disconnected without recursion, and with one timer a tab."""
    script = f"""
        import asyncio
        import types

        from {package}.main import app
        from {package}.tab import Tab

        class Stuck:
            state = types.SimpleNamespace(transport=None)

            async def send(self, event):
                await asyncio.Event().wait()

        def timers():
            return [timer for timer in asyncio.get_running_loop()._scheduled if not timer.cancelled()]

        async def main():
            async with app.router.lifespan_context(app) as state:
                await fill(state["manager"])

        async def fill(manager):
            # The heartbeat has a timer too.
            await asyncio.sleep(0)
            before = len(timers())
            tabs = [Tab(f"name {{number}}", Stuck()) for number in range(400)]
            writers = [asyncio.create_task(tab.write()) for tab in tabs]
            manager.rooms["lobby"] = {{tab.name: {{tab}} for tab in tabs}}
            # One event is in the hands of each writer, and so many wait that the queues are full at different times.
            for number, tab in enumerate(tabs):
                tab.try_put({{"type": "websocket.send", "text": ""}})
            await asyncio.sleep(0)
            for number, tab in enumerate(tabs):
                for _ in range(64 - number % 3):
                    assert tab.try_put({{"type": "websocket.send", "text": ""}})
            for _ in range(4):
                manager.send("lobby", manager.all_tabs("lobby"), {{"type": "message"}})
            assert manager.rooms == {{}}, len(manager.rooms["lobby"])
            assert len(timers()) - before <= len(tabs), len(timers())
            for writer in writers:
                writer.cancel()

        asyncio.run(main())
    """
    run_in(folder, script)


@pytest.mark.parametrize("folder", SOLUTIONS, ids=named)
def test_pong_in_a_large_room(folder: Path) -> None:
    """The cost of a pong doesn't grow with the room: its endpoint iterates over no list of members."""
    script = """
        import asyncio
        import json
        import sys

        from exercise.main import app

        lines = 0

        def count(frame, event, argument):
            global lines
            lines += 1
            return count

        async def visit(state, name, received):
            events = asyncio.Queue()
            events.put_nowait({"type": "websocket.connect"})

            async def send(event):
                received.append(event)

            scope = {
                "type": "websocket", "asgi": {"version": "3.0"}, "path": "/ws/lobby", "raw_path": b"/ws/lobby",
                "query_string": f"name={name}".encode(), "headers": [], "subprotocols": [], "state": dict(state),
                "scheme": "ws", "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2), "root_path": "",
                "extensions": {"websocket.http.response": {}},
            }
            return events, asyncio.create_task(app(scope, events.get, send))

        async def lines_of_a_pong(size):
            async with app.router.lifespan_context(app) as state:
                members = [await visit(state, f"name{number}", []) for number in range(size)]
                for _ in range(50):
                    await asyncio.sleep(0)
                await asyncio.sleep(0.2)
                global lines
                lines = 0
                sys.settrace(count)
                members[0][0].put_nowait({"type": "websocket.receive", "text": json.dumps({"type": "pong"})})
                for _ in range(20):
                    await asyncio.sleep(0)
                sys.settrace(None)
                found = lines
                for events, _ in members:
                    events.put_nowait({"type": "websocket.disconnect", "code": 1000})
                await asyncio.gather(*[task for _, task in members])
                return found

        few, many = asyncio.run(lines_of_a_pong(10)), asyncio.run(lines_of_a_pong(300))
        assert few and many < few + 100, (few, many)
    """
    run_in(folder, script)


FAILING_HEARTBEAT = """
from exercise.main import app
from exercise.manager import ConnectionManager


def ping_tabs(self):
    raise LookupError("the heartbeat fails")


ConnectionManager.ping_tabs = ping_tabs
"""
CANCELED_HEARTBEAT = """
import asyncio

from exercise.main import app
from exercise.manager import ConnectionManager


def ping_tabs(self):
    asyncio.current_task().cancel()


ConnectionManager.ping_tabs = ping_tabs
"""


@pytest.mark.parametrize("how", ["fails", "is canceled"])
@pytest.mark.parametrize("folder", SOLUTIONS, ids=named)
async def test_heartbeat_that_ends(folder: Path, how: str, tmp_path: Path) -> None:
    """If the heartbeat task ends, the process ends too, with a reason in its log and 1012 for its members."""
    (tmp_path / "outer.py").write_text(FAILING_HEARTBEAT if how == "fails" else CANCELED_HEARTBEAT, "utf-8")
    server = await start("outer:app", tmp_path, folder)
    try:
        if server.exit_code is None:
            try:
                async with connect(server.ws("/ws/lobby?name=Ada"), proxy=None) as ada:
                    async with asyncio.timeout(10):
                        await ada.wait_closed()
                    assert ada.close_code == 1012
            except OSError:
                pass  # The process ended before the client connected.
        assert await asyncio.to_thread(
            server.wait_for, lambda log: any("background task has ended" in x for x in log), 10
        )
        # It returns when the process has closed its output.
        await asyncio.to_thread(server.wait_for, lambda log: False, 10)
        async with asyncio.timeout(10):
            while server.exit_code is None:
                await asyncio.sleep(0.01)
        assert any("LookupError: the heartbeat fails" in line for line in server.log) == (how == "fails")
    finally:
        server.kill()


FAILING_WRITER = """
from exercise.main import app
from exercise.tab import Tab

write = Tab.write


async def fail(self):
    if self.name == "Linus":
        await self.send_queue.get()
        raise LookupError("a writer fails")
    await write(self)


Tab.write = fail
"""


@pytest.mark.parametrize("folder", SOLUTIONS, ids=named)
async def test_writer_that_fails(folder: Path, tmp_path: Path) -> None:
    """If the writer of a tab fails, its connection is closed and leaves the list, and the others continue."""
    (tmp_path / "outer.py").write_text(FAILING_WRITER, "utf-8")
    server = await start("outer:app", tmp_path, folder)
    subject = Subject(server, 5.0, folder)
    try:
        members = Members(subject, {"type": "ping"})
        async with members.tab("lobby", "Ada") as ada:
            await members_list(ada, "", likely="")
            async with members.tab("lobby", "Linus") as linus:
                async with asyncio.timeout(5):
                    await linus.connection.wait_closed()
                while await ada.next_object(expect="left", likely="") != left("Linus"):
                    pass
                await members.are("lobby", "Ada", after="the writer of Linus failed", likely="")
        assert any("LookupError: a writer fails" in line for line in server.log)
    finally:
        await subject.close()
        server.kill()


@pytest.mark.parametrize("folder", SOLUTIONS, ids=named)
async def test_slow_reader(folder: Path) -> None:
    """A tab that was disconnected for being slow receives its close frame if it reads 1 MiB a second."""
    server = Server("exercise.main:app", folder, environment={"HEARTBEAT_INTERVAL": "60"})
    await asyncio.to_thread(server.wait_until_ready)
    subject = Subject(server, 5.0, folder)
    try:
        members = Members(subject)
        async with (
            members.tab("lobby", "Ada") as ada,
            stuck_members(subject, [members.path("lobby", "Linus")]) as socks,
        ):
            number = 0
            while await ada.next_object(expect="left", likely="") != left("Linus"):
                # Send one at a time: every message arrives before the next one is sent.
                number += 1
                await ada.send({"type": "message", "text": LARGE if number > 1 else "hello"})
            received = await read_slowly(socks[0], 1_048_576, 5)
        assert [Close.parse(each.data).code for each in received if each.opcode == Opcode.CLOSE] == [1013]
        assert sum(each.opcode == Opcode.TEXT for each in received) > 64
    finally:
        await subject.close()
        server.kill()


def test_broker_stops_whatever_fails(tmp_path: Path) -> None:
    """If a task fails at the end, the broker of step 11 stops nevertheless."""
    script = f"""
        import asyncio
        import os

        os.environ["JOURNAL"] = {str(tmp_path / "journal")!r}
        from exercise.main import app

        async def fail():
            raise LookupError("a task fails")

        async def main():
            async with app.router.lifespan_context(app) as state:
                manager = state["manager"]
                manager.tasks.add(asyncio.create_task(fail()))
                stopped = []
                stop = manager.broker.stop

                async def note():
                    await stop()
                    stopped.append(True)

                manager.broker.stop = note
            assert stopped

        asyncio.run(main())
    """
    run_in(find_step(11).solution, script)


def test_folders() -> None:
    """Every package with rooms whose members have a queue is tested, or has the same code as a tested one."""

    def code_of(package: Path) -> tuple[bytes, ...]:
        return tuple((package / f"{name}.py").read_bytes() for name in ("chat", "manager", "tab"))

    # The viewers of step 13 have no rooms: see test_feed.py.
    found = {
        path.parent
        for path in ROOT.glob("*/*/*/tab.py")
        if path.parts[-4] in ("steps", "solutions") and path.with_name("manager.py").exists()
    }
    tested = {code_of(folder / package) for folder, package in PACKAGES}
    assert not [package for package in found if code_of(package) not in tested]
