"""Step 12: fixtures that start the server with anyio, in the event loop of the tests."""

import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import STDOUT
from tempfile import TemporaryFile
from uuid import uuid4

import anyio
import pytest
from anyio.abc import Process

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

    process: Process
    port: int


async def is_ready(process: Process, port: int) -> bool:
    """Wait until the server listens; return False if it has ended, or takes longer than START_TIMEOUT."""
    with anyio.move_on_after(START_TIMEOUT):
        while process.returncode is None:
            with suppress(OSError):
                async with await anyio.connect_tcp("127.0.0.1", port):
                    return True
            await anyio.sleep(POLL_INTERVAL)
    return False


async def stop(process: Process) -> None:
    """End the server, and kill it if SIGTERM doesn't end it."""
    # Shield: the process must end, also if the task that uses it is canceled.
    with anyio.CancelScope(shield=True):
        with suppress(ProcessLookupError):
            process.terminate()
        with anyio.move_on_after(STOP_TIMEOUT):
            await process.wait()
        with suppress(ProcessLookupError):
            process.kill()
        await process.aclose()


@asynccontextmanager
async def run_server() -> AsyncIterator[Server]:
    """Start the server, and end it with the block."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "main:app", "--app-dir", "exercise", "--port", str(port)]
    with TemporaryFile() as log:
        process = await anyio.open_process(command, cwd=FOLDER, stdout=log, stderr=STDOUT)
        try:
            if not await is_ready(process, port):
                log.seek(0)
                pytest.fail(f"The server didn't start. It logged:\n{log.read()[-2_000:].decode(errors='replace')}")
            yield Server(process, port)
        finally:
            await stop(process)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Return the event loop for coroutine tests. It's one for the whole session, as the server is."""
    return "asyncio"


@pytest.fixture(scope="session")
async def server(anyio_backend: str) -> AsyncIterator[Server]:
    """Return a server for all tests."""
    async with run_server() as running:
        yield running


@pytest.fixture
def room() -> str:
    """Return the name of a room that no other test uses."""
    return uuid4().hex[:12]
