"""Turns for runs: at most one for each core at a time, and the runs of an earlier check first."""

import asyncio
import contextlib
import heapq
import itertools
from collections.abc import AsyncIterator
from contextvars import ContextVar

RANK: ContextVar[int] = ContextVar("RANK", default=0)
"""The position of the check whose runs ask for a turn. Tasks inherit it from the check that starts them."""


class Turns:
    """A limit for the number of runs at a time.

    Args:
        number: the largest number of runs at a time.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._free = number
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._count = itertools.count()
        self._alone = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Wait for a turn, and return it at the end of the block."""
        turn = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (RANK.get(), next(self._count), turn))
        self._give()
        try:
            await turn
            yield
        finally:
            # A canceled waiter may have got its turn already.
            if turn.done() and not turn.cancelled():
                self._free += 1
            self._give()

    @contextlib.asynccontextmanager
    async def all(self) -> AsyncIterator[None]:
        """Wait for all turns, so that a run is alone, and return them at the end of the block."""
        # The lock prevents that two callers wait for each other's turns.
        async with self._alone, contextlib.AsyncExitStack() as turns:
            for _ in range(self._number):
                await turns.enter_async_context(self.one())
            yield

    def _give(self) -> None:
        while self._free and self._waiting:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                self._free -= 1
                turn.set_result(None)
