"""Requests of a client that reads no answers, in step 02: they come to a halt, because the server must wait for it."""

import asyncio
import json
from contextlib import suppress
from types import TracebackType

from websockets.exceptions import ConnectionClosed

from .clients import Client
from .messages import parsed, show
from .model import Failure
from .subject import Subject
from .tasks import spawn, stop

LARGE = "x" * 262_144
MOST = 128
"""How many of these texts, 32 MiB, are more than all buffers on the way hold, in both directions."""


class Requests:
    """Echo requests of 256 KiB each, sent by a client that reads nothing.

    Args:
        client: it has a small receive buffer, and has read its welcome if it wants its answers checked.
        most: how many to send at most.
    """

    def __init__(self, client: Client, most: int = MOST) -> None:
        self._client = client
        self._most = most
        self._sending: asyncio.Task[None] | None = None
        self._enough = False
        self.sent = 0
        """How many the server, or the buffers before it, have taken."""

    async def __aenter__(self) -> "Requests":
        self._client.stop_reading()
        self._sending = spawn(self._send())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._sending:
            await stop(self._sending)

    @property
    def all_sent(self) -> bool:
        """Whether the server has read them all."""
        return self.sent == self._most

    async def _send(self) -> None:
        with suppress(ConnectionClosed):
            for number in range(self._most):
                if self._enough:
                    return
                request = json.dumps({"type": "echo", "text": f"{number} {LARGE}"})
                await self._client.connection.send(request)
                self.sent += 1

    async def until_stuck(self, subject: Subject) -> None:
        """Wait until the server reads no more, or has read them all."""
        await subject.stands_still(lambda: self.sent)

    async def are_answered(self, *, after: str, likely: str) -> None:
        """Read on: each request that was sent gets its answer, in order.

        Raises:
            Failure: one does not.
        """
        client = self._client
        client.did = f"{self.sent} echo requests of 256 KiB"
        client.after = after
        self._enough = True
        client.read_again()
        count = 0
        while count < self._most and (count < self.sent or (self._sending and not self._sending.done())):
            expect = f"all {self.sent} echoes, with counts from 1"
            frame = await client.next(expect=f"{expect}; {count} have come", likely=likely)
            count += 1
            value = parsed(frame)
            if value != {"type": "echo", "text": f"{count - 1} {LARGE}", "count": count}:
                raise Failure(sent=client.did, after=after, got=show(frame), expect=expect, likely=likely)
