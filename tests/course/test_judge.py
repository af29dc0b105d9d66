"""The judge always ends with a verdict, and prints nothing else."""

import asyncio
import contextlib
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from harness.answers import answers
from harness.kernels import copy_of_the_course
from judge.clients import LOOK, Client
from judge.conversation import Conversation
from judge.judge import BLOCKED, STARTS, Judge
from judge.model import Failure, check
from judge.redis_proxy import RedisProxy
from judge.slowness import USUAL, factor, slowness
from judge.subject import Subject
from judge.tasks import running, together
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from workshop.course import ROOT, find_step
from workshop.server import Server


def test_tasks() -> None:
    """Checks start their tasks with `judge.tasks`: asyncio would print an exception that no check retrieves."""
    files = [*(ROOT / "tests" / "checks").rglob("*.py"), *(ROOT / "tests" / "judge").glob("*.py")]
    assert len(files) > 20
    for file in files:
        found = re.search(r"\b(create_task|ensure_future)\(", file.read_text("utf-8"))
        # Skip the probe: it's a separate process, which imports the answer and not the judge.
        assert file.name in ("tasks.py", "handshake_probe.py") or not found, (
            f"{file.name}: use spawn() or running() instead of {found[1]}()"
        )


async def _enter_two() -> list[str]:
    """Enter two contexts side by side, of which the second one can't be entered, and return the events."""
    happened: list[str] = []
    failed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def slow() -> AsyncIterator[None]:
        try:
            await failed.wait()
            happened.append("entered")
            yield
        finally:
            happened.append("ended")

    @contextlib.asynccontextmanager
    async def refused() -> AsyncIterator[None]:
        raise ValueError
        yield

    with contextlib.suppress(ValueError):
        async with contextlib.AsyncExitStack() as stack:
            await together(stack.enter_async_context(slow()), stack.enter_async_context(refused()))
    happened.append("failed")
    failed.set()
    # If it's still being entered, this code runs in its task.
    await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})
    return happened


def test_contexts_side_by_side() -> None:
    """If one of several contexts can't be entered, none of the others stays open when the check ends."""
    assert asyncio.run(_enter_two()) == ["ended", "failed"]


def test_no_context_outlives_its_check() -> None:
    """`gather()` leaves the other coroutines running when one fails, so contexts are entered with `together()`."""
    for file in [*(ROOT / "tests" / "checks").rglob("*.py"), *(ROOT / "tests" / "judge").glob("*.py")]:
        found = re.search(r"gather\(\*[^\n]*enter_async_context", file.read_text("utf-8"))
        assert not found, f"{file.name}: use together() instead of {found[0]}"


async def _acts(ends: bool) -> bool:
    """Return whether a proxy runs an action before a command.

    Args:
        ends: whether the action ends before the command arrives.
    """
    acted = asyncio.Event()

    async def act() -> None:
        acted.set()

    proxy = RedisProxy(None)  # type: ignore[arg-type]
    stop = proxy.stop_before("lobby", 1, act)
    if ends:
        await stop.end()
    await proxy.before("EVALSHA", b"lobby")
    return acted.is_set()


def test_no_action_after_its_check() -> None:
    """A member that leaves at the end of a check starts no action, because its connection would never be closed."""
    assert asyncio.run(_acts(ends=False))
    assert not asyncio.run(_acts(ends=True))


def test_slowness() -> None:
    """A slow machine gets up to twice the timeouts, in steps of a half, and a fast one gets no shorter ones."""
    assert [factor(times * USUAL) for times in (0.2, 1, 1.2, 1.4, 2, 9)] == [1, 1, 1, 1.5, 2, 2]
    assert slowness() in (1, 1.5, 2)


def test_no_traceback_of_its_own(tmp_path: Path) -> None:
    """If the first check fails while logins that other checks share are in progress, the verdict is the only output."""
    course = copy_of_the_course(tmp_path, solved=True)
    tokens = course / "steps" / "06_auth" / "exercise" / "tokens.py"
    source = tokens.read_text("utf-8")
    broken = source.replace("math.ceil(now + TOKEN_SECONDS)", "math.ceil(now + 2 * TOKEN_SECONDS)")
    assert source != broken
    tokens.write_text(broken, "utf-8")
    command = [sys.executable, "-m", "pytest", "--exercise", "6"]
    done = subprocess.run(command, cwd=course, capture_output=True, text=True, encoding="utf-8", timeout=120)
    assert done.returncode == 1
    assert "  ✗ 1  exchanges a name and a password for a token\n" in done.stdout
    assert done.stderr == ""
    for words in ("Traceback", "never retrieved", "never awaited"):
        assert words not in done.stdout


@pytest.mark.anyio
async def test_look_and_read() -> None:
    """A check can read a client while the failure of another client looks at it."""
    is_read = asyncio.Event()

    async def handle(connection: ServerConnection) -> None:
        await is_read.wait()
        await connection.send("hello")

    async with serve(handle, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}") as connection:
            client = Client(connection, patience=10)
            async with running(client._look_ahead(100 * LOOK)):
                await asyncio.sleep(0)
                is_read.set()
                assert await client.next(expect="hello", likely="") == "hello"


@pytest.mark.anyio
@pytest.mark.parametrize(("ending", "is_blocked"), [("close(4000)", False), ("send({'type': 'none'})", True)])
async def test_closed_is_not_blocked(tmp_path: Path, ending: str, is_blocked: bool) -> None:
    """A slow server that has sent a close frame isn't called blocked; a server that has sent none is."""
    step = find_step(2)
    source = (step.solution / "exercise.py").read_text("utf-8")
    broken = source.replace('await websocket.send_json({"type": "welcome"})', f"await websocket.{ending}")
    assert source != broken
    (tmp_path / "exercise.py").write_text(broken, "utf-8")
    with Server(step.target("exercise"), tmp_path) as server:
        subject = Subject(server, 2.0, tmp_path)
        async with subject.client() as tab:
            with pytest.raises(Failure) as failed:
                await tab.next(expect="a welcome", likely="something else")
        # A busy machine delays two requests as a blocked event loop does.
        subject.blocked = True
        lines = Judge(step, tmp_path, server)._explain(STARTS, failed.value, "", subject, Conversation())
        await subject.close()
    assert (("Likely", BLOCKED) in lines) == is_blocked


class OnlyTogether:
    """Checks of which the second one fails only while the first one runs, though each passes alone."""

    @check(1, "is there")
    async def test_first(self, subject: Subject) -> None:
        subject.at_end.append(str)
        async with subject.client() as tab:
            await tab.next(expect="a welcome", likely="something else")

    @check(2, "is alone")
    async def test_second(self, subject: Subject) -> None:
        async with subject.client() as tab:
            await tab.next(expect="a welcome", likely="something else")
        if subject.at_end:
            raise Failure(got="another client", expect="no other client", likely="Another check runs.")


def test_decided_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a check fails next to the others, it has failed, even if it passes alone."""
    monkeypatch.setattr("checks.test_02_echo.TestExercise", OnlyTogether)
    step = find_step(2)
    verdict = Judge(step, step.solution).run()
    assert verdict.failed is not None
    assert verdict.failed.name == "test_second"
    assert ("Likely", "Another check runs.") in verdict.explanation


class OneAtATime:
    """Checks that fail while another one runs, in the run that decides too, unless they run one at a time there."""

    most_at_once = 1

    @check(1, "is there")
    async def test_first(self, subject: Subject) -> None:
        await self._is_alone(subject)

    @check(2, "is there, too")
    async def test_second(self, subject: Subject) -> None:
        await self._is_alone(subject)

    @staticmethod
    async def _is_alone(subject: Subject) -> None:
        subject.at_end.append(str)
        async with subject.client() as tab:
            await tab.next(expect="a welcome", likely="something else")
            if len(subject.at_end) > 1:
                raise Failure(got="another check", expect="no other check", likely="Another check runs.")
        subject.at_end.remove(str)


def test_most_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step may limit the number of checks that run at a time in the run that decides."""
    monkeypatch.setattr("checks.test_02_echo.TestExercise", OneAtATime)
    step = find_step(2)
    verdict = Judge(step, step.solution).run()
    assert verdict.passed, verdict
    monkeypatch.setattr(OneAtATime, "most_at_once", 2)
    assert not Judge(step, step.solution).run().passed


class LeavesATraceback:
    """Checks of which the first one leaves a traceback that a disconnect causes; the failure belongs to the third."""

    leaving = 3

    @check(1, "is there")
    async def test_first(self, subject: Subject) -> None:
        async with subject.client() as tab:
            await tab.next(expect="a welcome", likely="something else")

    @check(2, "is fine")
    async def test_second(self, subject: Subject) -> None:
        await subject.get("/", likely="nothing")

    @check(3, "lets clients leave")
    async def test_third(self, subject: Subject) -> None:
        await subject.get("/", likely="nothing")


def test_number_of_the_cause(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """If a leaving client causes a traceback, the check that noticed it isn't reported as failed."""
    monkeypatch.setattr("checks.test_02_echo.TestExercise", LeavesATraceback)
    step = find_step(2)
    next(each for each in answers() if each.name == "02_echo/wrong_traceback_logged").put_into(tmp_path)
    verdict = Judge(step, tmp_path).run()
    assert verdict.failed is not None
    assert verdict.failed.number == 3
    assert ("Hint", "notebook 02, Make, TODO 3") in verdict.explanation


def test_without_log_lines(tmp_path: Path) -> None:
    """An answer that turns logging off is judged like any other: a start needs no line in the log."""
    step = find_step(2)
    code = (step.solution / "exercise.py").read_text("utf-8")
    (tmp_path / "exercise.py").write_text(f"{code}\n\nimport logging\n\nlogging.disable()\n", "utf-8")
    with Server(step.target("exercise"), tmp_path, cold=True) as server:
        assert server.port and not server.log
    verdict = Judge(step, tmp_path).run()
    assert verdict.passed, str(verdict)
