"""More data than the buffers hold: requests of a client that reads no answers, and texts for a slow member."""

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
"""The number of large texts: 4 MiB. The buffers on the way to a client with small ones hold 2.9 MB, as measured."""
NOTICE = "Your code sends a message of its own when a member joins or leaves. Send nothing but the members' texts."
SLOW = "the slow member"
"""The name in failures for a member that reads nothing for a while."""
MOST = 128
"""The number of large texts, 32 MiB, that exceeds all buffers on the way, in both directions."""


class Requests:
    """Echo requests of 256 KiB each, sent by a client that reads nothing.

    Args:
        client: a client with a small receive buffer. If its answers are checked, it has read its welcome.
        most: the maximum number of requests.
    """

    def __init__(self, client: Client, most: int = MOST) -> None:
        self._client = client
        self._most = most
        self._sending: asyncio.Task[None] | None = None
        self._enough = False
        self.sent = 0
        """The number of requests that the server, or the buffers before it, have accepted."""

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
        """Whether the server has read all requests."""
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
        """Wait until the server stops reading, or has read all requests."""
        await subject.stands_still(lambda: self.sent)

    async def are_answered(self, *, after: str, likely: Likely) -> None:
        """Resume reading, and check that each sent request gets its answer, in order.

        Raises:
            Failure: an answer is missing or wrong.
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
    """Large texts from one member to others, which read them meanwhile."""

    def __init__(self, sender: Client, readers: dict[str, Client], more: Sequence[str] = ()) -> None:
        self._large = [f"{number} {LARGE}" for number in range(MANY)]
        self.texts = [*self._large, *more]
        """The texts that must arrive."""
        self.got: dict[str, list[str | bytes]] = {}
        """The texts that each reader has received so far, by its name."""
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
        """Return the number of texts that the sender has sent, and that each reader has received."""
        return [self._sent, *(len(got) for got in self.got.values())]

    def join(self, name: str, reader: Client) -> None:
        """Let this member read from now on, even if it had stopped."""
        self.got[name] = []
        self._reading[name] = spawn(self._read(reader, self.got[name]))
        reader.read_again()

    def forget(self, name: str) -> None:
        """Expect no more texts for this member, which has disconnected."""
        del self.got[name]
        self._reading.pop(name).cancel()

    async def arrives(self, *, after: str, likely: str, slow: str = "", ended: str = "") -> None:
        """Check that every member that reads gets every text once. Wait as long as there's progress.

        Args:
            after: the event before, for the message of a failure.
            likely: the mistake, if a text is missing.
            slow: the mistake, if the slow member misses it; by default the same.
            ended: the mistake, if the sender's connection has ended; by default the same.

        Raises:
            Failure: a member misses a text, gets it twice, or gets another one.
        """
        tasks = {self._sending, *self._reading.values()}
        quiet = 0
        while quiet < 4 and not all(task.done() for task in tasks):
            before = self.progress()
            await asyncio.wait(tasks, timeout=self._sender.patience / 4)
            quiet = quiet + 1 if self.progress() == before else 0
        await stop(*tasks)
        for name, got in self.got.items():
            # Sort: the order of one sender's texts isn't checked here.
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
