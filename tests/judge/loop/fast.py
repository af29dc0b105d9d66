"""An event loop whose clock runs fast: a minute of silence takes three seconds.

PYTHONPATH=tests/judge/loop uvicorn exercise.main:app --loop fast:new_loop
"""

import asyncio
import selectors
import time
from collections.abc import Callable

SPEED = 20
"""Seconds of the fast clock for each real second."""


class Selector(selectors.DefaultSelector):
    """A selector whose timeouts are in seconds of the fast clock."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for events, at most `timeout` seconds of the fast clock."""
        return super().select(timeout / SPEED if timeout and timeout > 0 else timeout)


def fast(clock: Callable[[], float]) -> Callable[[], float]:
    """Return a clock that starts at the current time of this one, and runs fast."""
    start = clock()
    return lambda: start + (clock() - start) * SPEED


def new_loop() -> asyncio.AbstractEventLoop:
    """Return a loop with a fast clock, and replace the clocks of the process with fast ones."""
    time.monotonic, time.time, time.perf_counter = fast(time.monotonic), fast(time.time), fast(time.perf_counter)
    return asyncio.SelectorEventLoop(Selector())
