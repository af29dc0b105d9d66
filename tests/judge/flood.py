"""More than the buffers hold: requests of a client that reads no answers, and texts for a member that does not read."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType

from websockets.exceptions import ConnectionClosed

from .clients import Client
from .messages import parsed, show
from .model import Failure, Likely
from .subject import Subject
from .tasks import spawn, stop

LARGE = "x" * 262_144
MANY = 16
"""The number of large texts: 4 MiB. The buffers on the way to a client with small ones hold 2.9 MB by measurement."""
NOTICE = "Your code sends a message of its own when a member joins or leaves. Send nothing but the members' texts."
SLOW = "the slow member"
"""How a failure calls a member that reads nothing for a while."""
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

    async def are_answered(self, *, after: str, likely: Likely) -> None:
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
                cause = likely.wrong or likely.silence
                raise Failure(sent=client.did, after=after, got=show(frame), expect=expect, likely=cause)


class Flood:
    """Large texts on their way from one member to others, which read them meanwhile."""

    def __init__(self, sender: Client, readers: dict[str, Client], more: Sequence[str] = ()) -> None:
        self._large = [f"{number} {LARGE}" for number in range(MANY)]
        self.texts = [*self._large, *more]
        """What must arrive."""
        self.got: dict[str, list[str | bytes]] = {}
        """What each reader has so far."""
        self._sender = sender
        self._sent = 0
        self._sending = spawn(self._send())
        self._reading: dict[str, asyncio.Task[None]] = {}
        for name, reader in readers.items():
            self.join(name, reader)

    async def _send(self) -> None:
        with suppress(ConnectionClosed):
            for text in self._large:
                await self._sender.connection.send(text)
                self._sent += 1

    async def _read(self, reader: Client, got: list[str | bytes]) -> None:
        with suppress(ConnectionClosed):
            while len(got) < len(self.texts):
                got.append(await reader.connection.recv())

    def progress(self) -> list[int]:
        """How far the sender and each reader are."""
        return [self._sent, *(len(got) for got in self.got.values())]

    def join(self, name: str, reader: Client) -> None:
        """From now on this member reads, also one that had stopped."""
        self.got[name] = []
        self._reading[name] = spawn(self._read(reader, self.got[name]))
        reader.read_again()

    def forget(self, name: str) -> None:
        """This member has disconnected and is expected to get no more."""
        del self.got[name]
        self._reading.pop(name).cancel()

    async def arrives(self, *, after: str, likely: str, slow: str = "", ended: str = "") -> None:
        """Every member that reads gets every text once. As long as something moves, there is time.

        Args:
            after: what had happened before.
            likely: the mistake, if a text is missing.
            slow: the mistake, if it's the slow member that misses it; by default the same.
            ended: the mistake, if the sender's connection has ended; by default the same.

        Raises:
            Failure: one does not.
        """
        tasks = {self._sending, *self._reading.values()}
        quiet = 0
        while quiet < 4 and not all(task.done() for task in tasks):
            before = self.progress()
            await asyncio.wait(tasks, timeout=self._sender.patience / 4)
            quiet = quiet + 1 if self.progress() == before else 0
        await stop(*tasks)
        for name, got in self.got.items():
            # The order of one sender's texts is not what is judged here.
            if sorted(got, key=str) != sorted(self.texts):
                missing = len(set(self.texts) - set(got))
                if foreign := [text for text in got if text not in self.texts]:
                    raise Failure(
                        after=after,
                        got=f"{name} received {show(foreign[0])}",
                        expect=f"{name} receives the members' texts, and nothing else",
                        likely=NOTICE,
                    )
                if self._sender.connection.close_code is not None and ended:
                    likely = ended
                elif name == SLOW and slow:
                    likely = slow
                if not missing:
                    likely = "A text is sent to a member twice. Keep each member once, and send in one place."
                raise Failure(
                    sent=f"{MANY} texts of 256 KiB to the room",
                    after=after,
                    got=f"{name} received {len(got)} of {len(self.texts)}, {missing} missing",
                    expect=f"{name} receives every text once",
                    likely=likely,
                    broken=True,
                )
