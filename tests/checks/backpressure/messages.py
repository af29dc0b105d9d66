"""Step 07, TODO 1: numbered messages in one order, and all requirements of step 05."""

import asyncio
import contextlib
from typing import Any

from judge.clients import Client
from judge.members import PING, Members, message
from judge.messages import show
from judge.model import Failure, Likely, check
from judge.subject import Subject

from .room import IDS, messages_of

ONE_ORDER = "the order differs when something is awaited between two members: number it and queue it for all at once"

EMPTIED = (
    "The last id is stored with the members of the room, and deleted with the last of them. Keep it apart from them: "
    "ids 1, 2, 3, ... in each room go on when the room was empty."
)


class Messages:
    @check(1, "numbers the messages of each room, also when it was empty")
    async def test_ids(self, subject: Subject) -> None:
        members = Members(subject, PING)
        room, lab = members.room(), members.room("lab")
        for first in (1, 4):
            async with members.tab(room, "Ada") as ada, members.tab(lab, "Linus") as linus:
                await self._skip(ada, 1)
                await self._skip(linus, 1)
                cause = EMPTIED if first > 1 else IDS
                ada.after = "three messages, and then the last member left" if first > 1 else None
                for number in range(first, first + 3):
                    await ada.send({"type": "message", "text": f"text {number}", "id": 7, "from": "Linus"})
                    await ada.gets(message(number, "Ada", f"text {number}"), likely=Likely(cause, keys={"id": cause}))
                    ada.after, cause = None, "what was no message took a number, or another room's message did"
                    await ada.send("no JSON")
                    await ada.gets_error(likely="what cannot be read is answered with an error")
                    await ada.send({"type": "direct", "to": "Ada", "text": "note"})
                    await ada.gets({"type": "direct", "from": "Ada", "text": "note"}, likely="a direct one has no id")
                    await linus.send({"type": "message", "text": "there"})
                    one_count = "each room counts for itself"
                    likely = Likely(one_count, keys={"id": one_count})
                    await linus.gets(message(number, "Linus", "there"), likely=likely)
                await ada.leave()
                await linus.leave()
                likely = "an empty room is no room any more, but its count stays"
                for name in (room, lab):
                    await members.eventually_empty(name, after="the last member left", likely=likely)

    @staticmethod
    async def _skip(tab: Client, count: int) -> None:
        """Skip the presence snapshot and the events that another check judges."""
        for _ in range(count):
            await tab.next(expect="the list of members, or a notice", likely="this is as in step 05")

    @check(1, "tells all members the same, in one order")
    async def test_order(self, subject: Subject) -> None:
        members = Members(subject, PING)
        room = members.room()
        names = [f"Ada {number}" for number in range(10)]
        async with contextlib.AsyncExitStack() as stack:
            tabs = [await stack.enter_async_context(members.tab(room, name)) for name in names]

            async def talk(tab: Client, name: str) -> list[Any]:
                messages: list[Any] = []
                for number in range(20):
                    text = f"{name}: {number}"
                    await tab.send({"type": "message", "text": text})
                    # Continue when the tab's own message has arrived: this check judges the order, not a burst.
                    while not messages or messages[-1]["text"] != text:
                        messages += await messages_of(tab, 1, first=len(messages) + 1, likely=ONE_ORDER)
                return messages + await messages_of(tab, 200 - len(messages), first=len(messages) + 1, likely=ONE_ORDER)

            seen = await asyncio.gather(*(talk(tab, name) for tab, name in zip(tabs, names, strict=True)))
        after = "ten members sent 20 messages each"
        for one in seen:
            for mine, other in zip(one, seen[0], strict=True):
                if mine != other:
                    got = f"one member got {show(mine)}, another one at that place {show(other)}"
                    raise Failure(after=after, got=got, expect="one order", likely=ONE_ORDER)
        for name in names:
            texts = [message["text"] for message in seen[0] if message["from"] == name]
            if texts != [f"{name}: {number}" for number in range(20)]:
                expect = "what one member sent, in the order in which it was sent"
                likely = "a task for each message: tasks do not keep an order, a queue does"
                raise Failure(after=after, got=show(texts), expect=expect, likely=likely)
