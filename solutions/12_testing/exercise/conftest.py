"""Step 12, solution: fixtures that start the server, and never leave it running."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from uuid import uuid4

import psutil
import pytest

FOLDER = Path(__file__).parents[1]
COMMAND = (sys.executable, "-m", "uvicorn", "main:app", "--app-dir", "exercise", "--port", "0")
START_TIMEOUT = 8.0
"""The longest wait until the server listens, in seconds. It may take up to 5 s."""
STOP_TIMEOUT = 2.0
"""The longest wait after SIGTERM, in seconds. After it, the server is killed."""
POLL_INTERVAL = 0.02
"""Seconds."""


@dataclass
class Server:
    """A running server, with the port that the operating system has chosen."""

    process: subprocess.Popen[bytes]
    port: int

    @property
    def url(self) -> str:
        """The URL for HTTP requests."""
        return f"http://127.0.0.1:{self.port}"


def listening_port(pid: int) -> int | None:
    """Return the port on which a process or a child of it listens; None if there isn't one yet."""
    try:
        process = psutil.Process(pid)
        # On Windows, the Python of a virtual environment starts the real one as its child.
        family = [process, *process.children(recursive=True)]
        connections = [each for member in family for each in member.net_connections("tcp")]
    except psutil.NoSuchProcess:
        return None
    return next((each.laddr.port for each in connections if each.status == psutil.CONN_LISTEN), None)


def wait_until_ready(process: subprocess.Popen[bytes], log: IO[bytes]) -> int:
    """Wait until the server listens, and return its port. Fail with the end of its log if it doesn't."""
    deadline = time.monotonic() + START_TIMEOUT
    while process.poll() is None and time.monotonic() < deadline:
        if port := listening_port(process.pid):
            return port
        time.sleep(POLL_INTERVAL)
    log.seek(0)
    last_lines = log.read().decode(errors="replace").splitlines()[-5:]
    pytest.fail("\n".join([f"The server didn't start within {START_TIMEOUT:g} s. Its log ends with:", *last_lines]))


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the server with SIGTERM, or kill it if it doesn't end."""
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def run_server() -> Iterator[Server]:
    """Start the server, and end it with the block."""
    # Log to a file: a pipe that no task reads fills up, and then the server waits in its next print.
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(COMMAND, cwd=FOLDER, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield Server(process, wait_until_ready(process, log))
        finally:
            stop(process)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """Return a server for all tests."""
    with run_server() as running:
        yield running


@pytest.fixture
def room() -> str:
    """Return the name of a room that no other test uses."""
    return f"room {uuid4().hex[:12]}"


@pytest.fixture
def anyio_backend() -> str:
    """Return the event loop for coroutine tests."""
    return "asyncio"
