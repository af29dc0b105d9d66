"""Step 12, exercise: the fixtures of your tests. The tests are in test_rooms.py.

In the folder steps/12_testing:

Run it:    python -m pytest exercise

In the folder of the course:

Judge it:  pytest --exercise 12
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest


@dataclass
class Server:
    """A running server. Add what your tests need."""

    port: int


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """Return a server for all tests."""
    # TODO 1: start uvicorn main:app --app-dir exercise, as a process, on a port that the operating system chooses.
    # TODO 2: wait until it accepts connections. If it doesn't start, fail with the last line that it has printed.
    yield Server(port=0)
    # TODO 3: end it in every case: after a failure, after Ctrl+C during its start, and even if it ignores SIGTERM.


@pytest.fixture
def anyio_backend() -> str:
    """Return the event loop for coroutine tests."""
    return "asyncio"
