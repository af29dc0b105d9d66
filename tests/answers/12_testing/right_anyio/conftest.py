"""Step 12: fixtures that start the server. Its log is a file in a temporary folder of pytest."""

import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import STDOUT, Popen, TimeoutExpired
from uuid import uuid4

import pytest

FOLDER = Path(__file__).parents[1]
START_TIMEOUT = 8.0
"""Seconds."""
STOP_TIMEOUT = 2.0
"""Seconds."""
POLL_INTERVAL = 0.05
"""Seconds."""


@dataclass(frozen=True)
class Server:
    """A running server."""

    process: Popen[bytes]
    port: int


def is_ready(server: Server) -> bool:
    """Wait until the server listens; return False if it has ended, or takes longer than START_TIMEOUT."""
    deadline = time.monotonic() + START_TIMEOUT
    while server.process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", server.port), timeout=1):
            return True
        time.sleep(POLL_INTERVAL)
    return False


@contextmanager
def run_server(log: Path) -> Iterator[Server]:
    """Start the server, and end it with the block.

    Args:
        log: the file for the server's output.
    """
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "main:app", "--app-dir", "exercise", "--port", str(port)]
    with log.open("wb") as output, Popen(command, cwd=FOLDER, stdout=output, stderr=STDOUT) as process:
        try:
            server = Server(process, port)
            if not is_ready(server):
                pytest.fail(f"The server didn't start. It logged:\n{log.read_text('utf-8', 'replace')[-2_000:]}")
            yield server
        finally:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT)
            except TimeoutExpired:
                process.kill()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a server for all tests."""
    with run_server(tmp_path_factory.mktemp("server") / "log.txt") as running:
        yield running


@pytest.fixture
def room() -> str:
    """Return the name of a room that no other test uses."""
    return uuid4().hex[:12]


@pytest.fixture
def anyio_backend() -> str:
    """Return the event loop for coroutine tests."""
    return "asyncio"
