"""Step 12: fixtures that start the server on a port that was free, and read its log in a thread."""

import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import NamedTuple
from uuid import uuid4

import pytest

FOLDER = Path(__file__).resolve().parent.parent
START_TIMEOUT = 8.0
"""Seconds."""
STOP_TIMEOUT = 3.0
"""Seconds."""


class Server(NamedTuple):
    """A running server."""

    process: subprocess.Popen[str]
    port: int

    @property
    def http(self) -> str:
        """The base URL of its HTTP endpoints."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws(self) -> str:
        """The base URL of its WebSocket endpoints."""
        return f"ws://127.0.0.1:{self.port}"


def free_port() -> int:
    """Return a port that the operating system chooses."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


def accepts(port: int) -> bool:
    """Return whether a server listens on a port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def becomes_ready(process: subprocess.Popen[str], port: int) -> bool:
    """Wait until the server listens; return False if it has ended, or takes longer than START_TIMEOUT."""
    deadline = time.monotonic() + START_TIMEOUT
    while process.poll() is None and time.monotonic() < deadline:
        if accepts(port):
            return True
        time.sleep(0.05)
    return False


def stop(process: subprocess.Popen[str]) -> None:
    """End the server, and kill it if SIGTERM doesn't end it."""
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()


@contextmanager
def run_server() -> Iterator[Server]:
    """Start the server, and end it with the block."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "main:app", "--app-dir", "exercise", "--port", str(port)]
    last_lines: deque[str] = deque(maxlen=10)
    # At its end, the block closes the pipe and waits for the process.
    with subprocess.Popen(
        command, cwd=FOLDER, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace"
    ) as process:
        reader = Thread(target=last_lines.extend, args=[process.stdout])
        try:
            reader.start()
            if is_ready := becomes_ready(process, port):
                yield Server(process, port)
        finally:
            stop(process)
            reader.join()
    if not is_ready:
        pytest.fail("The server didn't start. Its last lines:\n" + "".join(last_lines))


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """Return a server for all tests."""
    with run_server() as running:
        yield running


@pytest.fixture
def room() -> str:
    """Return the name of a room that no other test uses."""
    return uuid4().hex[:16]
