"""Step 12: what its notebook states about seven tests that find little, verified on right and on broken servers."""

import asyncio
import subprocess
import sys
import warnings
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from runpy import run_path

import pytest
from harness.guesses import assert_right
from harness.sources import functions_of
from judge import rooms
from judge.subject import Subject
from judge.suites.servers import servers_of
from websockets import ConnectionClosed, connect
from workshop import CourseError, Server, find_step, lesson_variant, try_suite
from workshop.ports import comes_to_listen, free_port
from workshop.process import end, start_module, terminate
from workshop.suites import Plan, run_suite

STEP = find_step(12)
APP = STEP.folder / "app"
FILE = "app/test_rooms.py"
SECONDS = 20
"""A deadline in seconds. Everything before it takes far less, even on a busy machine."""
HANG = 15
"""Seconds after which a run counts as one that doesn't end. The seven tests take less than one."""
LONG_NAME = "/ws/" + "x" * 21
LOOP = "list(rooms[room_id])"
MUTANTS = {
    "each text arrives twice": (LOOP, f"2 * {LOOP}"),
    "a text arrives in all rooms": (LOOP, "[each for room in rooms.values() for each in room]"),
    "white space is removed": ("send_text(text)", "send_text(text.strip())"),
    "an empty text is refused": ('if message.get("text") is None', 'if not message.get("text")'),
    "1000 instead of 1003": ("websocket, 1003", "websocket, 1000"),
    "one member receives nothing": (LOOP, f"{LOOP}[1:]"),
}
"""The code to replace in the lesson's server, and the code that replaces it."""
DELAYED_TWICE = """
            import asyncio, random
            for _ in range(2):
                await asyncio.sleep(random.uniform(0, 0.15))
                await member.send_text(text)
"""
TESTS = """
import pytest

from .main import ANSWER


@pytest.fixture
def broken():
    1 / 0


def test_right():
    assert ANSWER == 42


@pytest.mark.parametrize("number", [1, 2])
def test_wrong(number):
    assert number == 1, "x" * 200


def test_setup(broken):
    pass
"""
FOUND = {"broken_twice": "test_texts_arrive_in_order"}
HUNG = {
    "broken_binary_1006",
    "broken_deaf_at_first",
    "broken_handshake_unanswered",
    "broken_others_left_out",
    "broken_rooms_unanswered",
    "broken_sender_left_out",
    "broken_sigterm_ignored",
    "broken_silent_after_first",
}
SLOW = {"broken_join_blocks": 90}
"""Servers on which the seven tests pass, but not soon, with the limit in seconds."""


def with_test_client(main: Path) -> int:
    """Return the close code that TestClient shows for a long name on the server in a file."""
    with warnings.catch_warnings(action="ignore"):
        from fastapi.testclient import TestClient
    from starlette.websockets import WebSocketDisconnect

    with pytest.raises(WebSocketDisconnect) as closed:
        with TestClient(run_path(str(main))["app"]).websocket_connect(LONG_NAME) as linus:
            linus.receive_text()
    return closed.value.code


async def finds_with_sleep(url: str) -> bool:
    """Return whether something arrives within 75 ms of a text."""
    async with connect(url) as ada:
        await ada.send("hello")
        async with asyncio.timeout(SECONDS):
            await ada.recv()
        with suppress(TimeoutError):
            async with asyncio.timeout(0.075):
                await ada.recv()
            return True
    return False


async def finds_with_fence(url: str) -> bool:
    """Return whether something arrives between a text and a fence."""
    async with connect(url) as ada:
        await ada.send("hello")
        await ada.send("fence")
        async with asyncio.timeout(SECONDS):
            return [await ada.recv(), await ada.recv()] != ["hello", "fence"]


async def run_20_times(test: Callable[[str], Awaitable[bool]], server: Server) -> int:
    """Run a test 20 times, each time in a room of its own, and return how often it finds something."""
    urls = [server.ws(f"/ws/{test.__name__}-{run}") for run in range(20)]
    return sum(await asyncio.gather(*map(test, urls)))


async def count_answers(port: int) -> int:
    """Send up to 100 messages, until one isn't answered within 2 s."""
    answers = 0
    async with connect(f"ws://127.0.0.1:{port}/ws/lobby", close_timeout=0.2) as ada:
        with suppress(TimeoutError):
            for _ in range(100):
                await ada.send("hello")
                async with asyncio.timeout(2):
                    await ada.recv()
                answers += 1
    return answers


@pytest.mark.anyio
class TestLesson:
    def test_server_is_given(self) -> None:
        """The lesson's server has the functions of the given one, which has those of step 03 and the limit of names."""
        given = functions_of(STEP.folder / "exercise" / "main.py")
        assert functions_of(APP / "main.py") == given
        before = functions_of(find_step(3).solution / "exercise.py")
        assert {name for name in before if given.get(name) != before[name]} == {"chat"}

    async def test_rooms(self, lesson: Subject) -> None:
        """The rooms survive their members, as those of step 03."""
        place = rooms.Rooms(lesson)
        await rooms.reaches_the_room(place)
        await rooms.survives_disconnects(place)
        await rooms.forgets_the_disconnected(place)

    async def test_page(self, lesson: Subject) -> None:
        """The browser page is served at /."""
        assert (await lesson.get("/", likely="")).headers["content-type"].startswith("text/html")

    def test_command(self) -> None:
        """The seven tests pass with the notebook's command. The only warning is about the library of TestClient."""
        command = [sys.executable, "-m", "pytest", "app", "-p", "no:cacheprovider"]
        done = subprocess.run(command, cwd=STEP.folder, capture_output=True, text=True, timeout=60)
        assert "7 passed, 1 warning" in done.stdout, done.stdout
        assert "Using `httpx` with `starlette.testclient` is deprecated" in done.stdout

    async def test_mutants(self) -> None:
        """Of six broken servers, the seven tests find one. They pass on four, and on one they don't end."""
        results = {}
        for bug, (old, new) in MUTANTS.items():
            with lesson_variant(12, "main.py", old, new) as folder:
                results[bug] = await try_suite(folder / "app", seconds=5 if bug.startswith("one") else 60)
        twice, *others, last = results.values()
        assert twice.failed == ["test_texts_arrive_in_order"]
        assert [result.summary for result in others] == ["all 7 pass"] * 4
        assert last.summary == "didn't end within 5 s: test_sender_receives_its_text"
        assert_right("12.1", sum(len(result.failed) > 0 for result in results.values()))

    @pytest.mark.thorough("the lesson of step 12 on every broken server")
    @pytest.mark.xdist_group("suites")
    async def test_all_broken_servers(self) -> None:
        """On 10 of the 19 broken servers, the seven tests pass, on 8 they don't end, and they find one."""
        servers = {server.name: server for server in servers_of(STEP) if server.kind == "broken"}
        assert len(servers) == 19
        turns = asyncio.Semaphore(4)

        async def summary(name: str) -> str:
            limit = HANG if name in HUNG else SLOW.get(name, 60)
            async with turns:
                run = await run_suite(STEP.folder, Plan(servers[name].code, package="app", seconds=limit))
            if run.timed_out and not run.found:
                return "hung"
            return "passed" if run.passed else ", ".join(unit.removeprefix(f"{FILE}::") for unit in sorted(run.found))

        summaries = dict(zip(servers, await asyncio.gather(*map(summary, servers)), strict=True))
        assert {name: text for name, text in summaries.items() if text not in ("hung", "passed")} == FOUND
        assert {name for name, text in summaries.items() if text == "hung"} == HUNG
        assert (list(summaries.values()).count("passed"), len(HUNG), len(FOUND)) == (10, 8, 1)

    async def test_right_server(self) -> None:
        """A right server that takes 0.7 s to remove a member fails the test of the counts."""
        (server,) = (server for server in servers_of(STEP) if server.name == "right_slow_leave")
        counted = f"{FILE}::test_rooms_are_counted"
        run = await run_suite(STEP.folder, Plan(server.code, package="app", units=[counted]))
        assert run.found == {counted}

    async def test_long_name(self, lesson: Subject) -> None:
        """If a server closes before it accepts, TestClient shows 4404, and a client gets HTTP 403."""
        async with lesson.client(LONG_NAME) as linus:
            await linus.is_closed(4404, likely="")
        assert with_test_client(APP / "main.py") == 4404
        accept = "    await websocket.accept()\n"
        refuse = "    if len(room_id) > MAX_NAME_LENGTH:\n        await close(websocket, 4404)\n        return\n"
        with (
            lesson_variant(12, "main.py", accept + refuse, refuse + accept) as folder,
            Server("app.main:app", folder) as broken,
        ):
            assert with_test_client(folder / "app" / "main.py") == 4404
            assert await Subject(broken, SECONDS, folder).handshake(LONG_NAME) == 403

    async def test_sleep_and_fence(self) -> None:
        """A test that sleeps misses some of the texts that arrive twice, and a fence finds all of them."""
        with (
            lesson_variant(12, "main.py", "            await member.send_text(text)\n", DELAYED_TWICE) as folder,
            Server("app.main:app", folder) as broken,
        ):
            assert await run_20_times(finds_with_fence, broken) == 20
            assert_right("12.2", 20 - await run_20_times(finds_with_sleep, broken))

    async def test_full_pipe(self) -> None:
        """A server whose log goes into a pipe that no code reads stops, and SIGTERM doesn't end it."""
        log = '            print("x" * 2_000, flush=True)\n            await broadcast('
        with lesson_variant(12, "main.py", "            await broadcast(", log) as folder:
            port = free_port()
            process = start_module("uvicorn", ["app.main:app", "--app-dir", str(folder), "--port", str(port)])
            try:
                assert comes_to_listen(process.pid, port, SECONDS)
                answers = await count_answers(port)
                if sys.platform != "win32":
                    terminate(process)
                    with pytest.raises(subprocess.TimeoutExpired):
                        process.wait(1)
            finally:
                end(process)
                process.stdout.close()
        assert_right("12.3", answers)

    async def test_limit_of_names(self) -> None:
        """The seven tests don't notice that a name of 20 characters is refused."""
        with lesson_variant(12, "main.py", "> MAX_NAME_LENGTH", ">= MAX_NAME_LENGTH") as folder:
            assert (await try_suite(folder / "app")).passed
            with Server("app.main:app", folder) as broken:
                async with connect(broken.ws("/ws/" + "x" * 20)) as linus:
                    with pytest.raises(ConnectionClosed):
                        async with asyncio.timeout(SECONDS):
                            await linus.recv()
                assert linus.close_code == 4404


@pytest.mark.anyio
class TestTrySuite:
    async def test_results(self, tmp_path: Path) -> None:
        """Each test function has a line, and so has each file that can't be imported."""
        tests = tmp_path / "tests"
        tests.mkdir()
        (tests / "__init__.py").touch()
        (tests / "main.py").write_text("ANSWER = 42\n", "utf-8")
        (tests / "test_a.py").write_text(TESTS, "utf-8")
        result = await try_suite(tests)
        assert [row[:2] for row in result.rows] == [
            ("test_right", "passed"),
            ("test_wrong", "failed"),
            ("test_setup", "failed in its setup"),
        ]
        assert result.failed == ["test_wrong"] and result.summary == "failed: test_wrong" and not result.passed
        assert max(len(row[2]) for row in result.rows) < 100
        assert "| test\\_wrong | failed | AssertionError: xxx" in result._repr_markdown_()
        assert "test_setup  failed in its setup  ZeroDivisionError: division by zero" in repr(result)

        (tmp_path / "other.py").write_text("ANSWER = 0\n", "utf-8")
        result = await try_suite(str(tests), str(tmp_path / "other.py"))
        assert result.failed == ["test_right", "test_wrong"]

        (tests / "test_b.py").write_text("import no_such_module\n", "utf-8")
        result = await try_suite(tests)
        assert ("tests/test_b.py", "can't be imported") == result.rows[0][:2]
        assert "No module named 'no_such_module'" in result.rows[0][2]

    async def test_nothing_to_run(self, tmp_path: Path) -> None:
        """A folder without tests, and a file that doesn't exist, raise an error in one sentence."""
        with pytest.raises(CourseError, match="no file"):
            await try_suite(APP, tmp_path / "mutant.py")
        with pytest.raises(CourseError, match="no file"):
            await try_suite(tmp_path)
        for name in ("__init__.py", "main.py"):
            (tmp_path / name).touch()
        with pytest.raises(CourseError, match="no tests"):
            await try_suite(tmp_path)
