"""What differs on Windows and macOS, emulated on Linux: one trait in each test."""

import asyncio
import contextlib
import shutil
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from harness.kernels import copy_of_the_course
from harness.verdicts import green
from judge.troubles import troubles_in
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from workshop import preflight, process
from workshop.course import ROOT, find_step
from workshop.redis_server import RedisServer
from workshop.server import IN_USE, Server

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="emulates what Windows has")

PACKAGES = {"PYTHONPATH": sysconfig.get_path("purelib")}
"""The packages of the environment, for its base Python. On Windows, a variable that only works there names them."""
RESET = """INFO:     connection closed
Exception in callback _ProactorBasePipeTransport._call_connection_lost(None)
handle: <Handle _ProactorBasePipeTransport._call_connection_lost(None)>
Traceback (most recent call last):
  File "C:\\Python312\\Lib\\asyncio\\events.py", line 88, in _run
    self._context.run(self._callback, *self._args)
  File "C:\\Python312\\Lib\\asyncio\\proactor_events.py", line 165, in _call_connection_lost
    self._sock.shutdown(socket.SHUT_RDWR)
ConnectionResetError: [WinError 10054] An existing connection was forcibly closed by the remote host
INFO:     127.0.0.1:50000 - "WebSocket /ws" [accepted]
"""


@contextlib.contextmanager
def windows(monkeypatch: pytest.MonkeyPatch, **settings: str) -> Iterator[None]:
    """Let the module that starts child processes run as on Windows."""
    values = {"platform": "win32", "prefix": "venv", "base_prefix": "base", "executable": sys.executable, **settings}
    with monkeypatch.context() as patched:
        patched.setattr(process, "sys", SimpleNamespace(**values))
        yield


@pytest.fixture
def launcher(tmp_path: Path) -> str:
    """Return a program that starts Python as its child, as the `python.exe` of a virtual environment does."""
    script = tmp_path / "launcher"
    script.write_text(f'#!/bin/sh\nexec 3<&0\n"{sys.executable}" "$@" <&3 &\nwait $!\n', "utf-8")
    script.chmod(0o755)
    return str(script)


def listens(pid: int, port: int) -> bool:
    """Return whether this process itself, and not its child, listens on a port."""
    found = psutil.Process(pid).net_connections("tcp")
    return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in found)


class TestLauncher:
    """In a virtual environment on Windows, `python.exe` is a launcher with a process id of its own."""

    def test_emulated(self, monkeypatch: pytest.MonkeyPatch, launcher: str) -> None:
        """Without the fix, the server's process id is the launcher's."""
        with windows(monkeypatch, platform="linux", executable=launcher):
            with Server("main:app", find_step(2).folder, cold=True) as server:
                assert not listens(server.pid, server.port)
                assert any(listens(child.pid, server.port) for child in psutil.Process(server.pid).children())

    def test_process_id(self, monkeypatch: pytest.MonkeyPatch, launcher: str) -> None:
        """The server's process id is that of the process that listens."""
        base = str(Path(sys.executable).resolve())
        with windows(monkeypatch, executable=launcher, _base_executable=base):
            with Server("main:app", find_step(2).folder, cold=True, environment=PACKAGES) as server:
                assert listens(server.pid, server.port)
            environment = process.interpreter()[1]
        assert environment == {"__PYVENV_LAUNCHER__": launcher}

    def test_no_private_attribute(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without Python's private attribute, the path is that of the base Python."""
        with windows(monkeypatch, base_prefix="C:/Python313"):
            assert Path(process.interpreter()[0]) == Path("C:/Python313/python.exe")


async def closed_with(server: Server) -> int | None:
    """Connect, terminate the server, and return the close code."""
    async with connect(server.ws("/ws")) as client:
        await client.recv()
        server.terminate()
        with contextlib.suppress(ConnectionClosed):
            async with asyncio.timeout(20):
                await client.recv()
        return client.close_code


def test_no_sigterm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no process can send SIGTERM, terminate() shuts the server down all the same: clients get 1012."""
    with windows(monkeypatch, prefix="same", base_prefix="same"):
        step = find_step(2)
        server = Server("exercise:app", step.solution, cold=True)
        monkeypatch.setattr(server._process, "terminate", server._process.kill)  # Windows: TerminateProcess
        with server:
            assert asyncio.run(closed_with(server)) == 1012
            assert server.wait_for(lambda log: any("Finished server process" in line for line in log), 20)


def test_no_taskkill(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that can't run taskkill ends itself, so its starter doesn't wait forever."""
    code = (
        "import os, subprocess, sys\n"
        f"sys.path.insert(0, {str(ROOT / 'notebooks' / 'workshop')!r})\n"
        "import launch\n"
        "sys.platform = 'win32'\n"
        "launch.end_with(0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    assert done.returncode == 1


def test_pipe_with_cp1252(tmp_path: Path) -> None:
    """If the terminal's encoding has no check mark, the verdict is printed in UTF-8."""
    course = copy_of_the_course(tmp_path, solved=True)
    command = [sys.executable, "-m", "pytest", "--exercise", "1"]
    environment = {"PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}
    whole = {**process.os.environ, **environment}
    done = subprocess.run(command, cwd=course, env=whole, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "  ✓ 1  " in done.stdout.decode("utf-8")
    assert b"UnicodeEncodeError" not in done.stderr


def test_reset_in_the_log(tmp_path: Path) -> None:
    """asyncio's own traceback after a reset connection isn't an error of the learner; another one is."""
    assert troubles_in(RESET, tmp_path) == []
    other = RESET.replace("_ProactorBasePipeTransport._call_connection_lost", "Timer.ring")
    assert [trouble.kind for trouble in troubles_in(other, tmp_path)] == ["ConnectionResetError"]


@pytest.mark.parametrize(
    "line",
    [
        "[Errno 10048] error while attempting to bind on address ('127.0.0.1', 8000): normalement, une seule",
        "[WinError 10048] Normalerweise darf jede Socketadresse nur jeweils einmal verwendet werden",
        "[WinError 10013] An attempt was made to access a socket in a way forbidden by its access permissions",
    ],
)
def test_port_in_use(line: str) -> None:
    """Windows translates its error texts, and reserves ranges of ports; the number of the error is always the same."""
    assert IN_USE.search(f"ERROR:    {line}")


@pytest.mark.thorough("servers without uvloop, and with a chatty Redis")
def test_no_uvloop(tmp_path: Path) -> None:
    """Windows has no uvloop: the worked solution passes on asyncio's own loop."""
    course = copy_of_the_course(tmp_path / "course", solved=True)
    without = tmp_path / "without"
    without.mkdir()
    (without / "uvloop.py").write_text("raise ImportError('no uvloop on Windows')\n", "utf-8")
    environment = {**process.os.environ, "PYTHONPATH": str(without), "WORKSHOP_COLD": "1"}
    command = [sys.executable, "-m", "pytest", "--exercise", "2"]
    done = subprocess.run(command, cwd=course, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert green(2) in done.stdout


class TestPreflight:
    """JupyterLab's longest path is too long for Windows in a deep folder."""

    @staticmethod
    def problem(monkeypatch: pytest.MonkeyPatch, folder: str) -> str | None:
        """Return what preflight prints on Windows if the course is in this folder."""
        with monkeypatch.context() as patched:
            patched.setattr(preflight, "sys", SimpleNamespace(platform="win32", version_info=sys.version_info))
            patched.setattr(preflight, "__file__", f"{folder}/notebooks/workshop/preflight.py")
            return preflight.problem(packages=())

    def test_deep(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The message names the length, and a shorter folder."""
        assert self.problem(monkeypatch, "/" + "x" * 90).startswith("The path of this folder has 91 characters")
        assert self.problem(monkeypatch, "/" + "x" * 89) is None

    def test_limit(self) -> None:
        """With the longest path of the installed packages, the deepest folder stays below 260 characters."""
        packages = Path(sysconfig.get_path("purelib"))
        longest = max(len(str(path.relative_to(packages))) for path in packages.rglob("*"))
        assert preflight.DEEPEST + len("\\.venv\\Lib\\site-packages\\") + longest < 260


@pytest.mark.thorough("servers without uvloop, and with a chatty Redis")
@pytest.mark.skipif(not shutil.which("redis-server"), reason="redis-server is missing")
def test_chatty_redis(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A Redis that logs more than a pipe holds doesn't block: on Windows, a pipe holds only 4 KiB."""
    script = tmp_path / "redis-server"
    noise = "x" * 100
    script.write_text(
        f'#!/bin/sh\nfor i in $(seq 2000); do echo {noise}; done\nexec {shutil.which("redis-server")} "$@"\n', "utf-8"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{process.os.environ['PATH']}")
    server = RedisServer()
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout=10):
            pass
    finally:
        server.close()


def test_workers(pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """A laptop with many cores runs at most eight tests at a time: each needs memory for servers and kernels."""
    conftest = pytestconfig.pluginmanager.get_plugin(str(ROOT / "tests" / "conftest.py"))
    monkeypatch.setattr(conftest.os, "cpu_count", lambda: 32)
    assert conftest.pytest_xdist_auto_num_workers(pytestconfig) == 8
