"""Step 09, TODO 6: server and clients together, while the server is killed repeatedly."""

import asyncio
import contextlib
import random
import tempfile
from pathlib import Path
from typing import Any

from judge.client_evidence import REPEATED
from judge.fake_server import FakeServer, fake_server
from judge.members import message
from judge.messages import show
from judge.model import Failure, check
from judge.subject import Subject
from judge.tasks import running, together

KILLS = 10
"""The number of times that the check ends the server."""
LONGEST_KILLS = 12.0
"""The time after which the check ends no more servers on a slow machine, in seconds."""

LOST = (
    "A message of your client got no ack after a restart of the server: it wasn't sent on the new connection, or its "
    "ack was ignored. Print the keys that each connection sends, and those of the acks."
)
MISSED = (
    "Your client misses a message after a restart of the server. Print the after= of each handshake next to the ids in "
    "the inbox: they differ if self.after is set too early."
)
RESENT = (
    "Two calls of send() got the same id, or a message is in the room twice. In the first case, an ack set the wrong "
    "future; in the second, a message was sent again with a new key. Compare the keys of both sends."
)
NAMES = ("Ada", "Grace", "Linus")
"""The members' names, by the numbers of their clients."""


class Talk:
    """A client of the answer that sends one message after another.

    Args:
        server: the fake server that runs the client.
        client: the client's number.
    """

    def __init__(self, server: FakeServer, client: int) -> None:
        self.server = server
        self.client = client
        self.ids: dict[str, int] = {}
        """The ids of the acknowledged messages, by text."""
        self.items: list[Any] = []
        """The items that the client has delivered so far."""
        self.enough = False
        self._acknowledged = asyncio.Event()

    async def go_on(self) -> None:
        """Send messages until `enough` is set.

        Raises:
            Failure: a message isn't acknowledged.
        """
        number = 0
        while not self.enough:
            number += 1
            text = f"{self.client}: {number}"
            await self.server.do("send", self.client, text=text)
            while text not in self.ids:
                expect = f"the acknowledgement of {text!r}"
                event = await self.server.next(self.client, expect=expect, likely=LOST)
                if event["event"] == "item":
                    self.items.append(event["item"])
                elif event["event"] == "sent" and event["text"] == text:
                    self.ids[text] = event["id"]
                else:
                    wanted = {"event": "sent", "text": text}
                    raise await self.server.differs(self.client, event, wanted, self.items, likely=LOST, expect=expect)
            self._acknowledged.set()
            await asyncio.sleep(0.015)

    async def said_more(self, talking: asyncio.Task[Any]) -> None:
        """Wait until one more message is acknowledged.

        Args:
            talking: the task of the clients, which fails if a message is never acknowledged.
        """
        self._acknowledged.clear()
        async with running(self._acknowledged.wait()) as one_more:
            await asyncio.wait([*one_more, talking], return_when=asyncio.FIRST_COMPLETED)
        if talking.done():
            talking.result()


async def agree(talks: list[Talk], *, after: str, likely: str) -> None:
    """Check that each send got its own id, and that each reader has every message once, in the same order.

    Args:
        talks: the clients of `NAMES`, which have sent their last message.
        after: the preceding events, for the message of a failure.
        likely: the likely cause if the ids aren't 1, 2, 3, ...

    Raises:
        Failure: a message is lost, duplicated or out of order.
    """
    expected = {sent: text for talk in talks for text, sent in talk.ids.items()}
    total = sum(len(talk.ids) for talk in talks)
    if sorted(expected) != list(range(1, total + 1)):
        got = f"{total} sends ended well, with {len(expected)} different ids up to {max(expected, default=0)}"
        raise Failure(after=after, got=got, expect="ids 1, 2, 3, ... one for each send", likely=likely)
    for talk in talks:
        await _has_all(talk, expected, after)


async def _has_all(talk: Talk, expected: dict[int, str], after: str) -> None:
    """Check that this reader has every message once, in order and without a gap."""
    items, name = talk.items, NAMES[talk.client]
    while len(items) < len(expected):
        expect = f"{len(expected)} messages for {name}"
        event = await talk.server.next(talk.client, expect=expect, likely=MISSED)
        items.append(event.get("item"))
    for number, item in enumerate(items, 1):
        text = expected.get(number, "nothing more")
        who = NAMES[int(text[0])] if number in expected else ""
        if item != message(number, who, text):
            expect = show(message(number, who, text))
            likely = REPEATED if item in items[: number - 1] else MISSED
            raise Failure(after=after, got=f"{name}'s client delivered {show(item)}", expect=expect, likely=likely)


class Kills:
    @check(6, "loses and duplicates nothing while the server is killed repeatedly")
    async def test_all(self, subject: Subject) -> None:
        chance = random.Random(8)
        clock = asyncio.get_running_loop().time
        with tempfile.TemporaryDirectory() as folder:
            settings = {"JOURNAL": str(Path(folder) / "journal")}
            async with contextlib.AsyncExitStack() as stack, fake_server(subject, patience=10) as server:
                own = await stack.enter_async_context(subject.another(**settings))
                port = own.server.port
                talks = [Talk(server, number) for number in range(len(NAMES))]
                for number, name in enumerate(NAMES):
                    await server.begin(number, url=own.server.ws(f"/ws/lobby?name={name}"), base=0.02, cap=0.1)
                async with running(together(*(talk.go_on() for talk in talks))) as (talking,):
                    until = clock() + LONGEST_KILLS
                    for kill in range(KILLS):
                        # Wait until all clients have reconnected and continue.
                        for talk in talks:
                            await talk.said_more(talking)
                        if clock() > until:
                            break
                        await asyncio.sleep(chance.uniform(0, 0.1))
                        if kill % 3:
                            own.server.kill()
                        else:
                            await asyncio.to_thread(own.server.stop, 4)
                        own = await stack.enter_async_context(subject.another(port=port, **settings))
                    for talk in talks:
                        talk.enough = True
                    await talking
                after = f"three clients talked, while the server was ended and started again {KILLS} times"
                await agree(talks, after=after, likely=RESENT)
