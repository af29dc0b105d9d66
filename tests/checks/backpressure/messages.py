"""Step 07, TODO 1: numbered messages in one order, and all requirements of step 05."""

import asyncio
import contextlib
from typing import Any

from judge import pool
from judge.clients import Client
from judge.members import PING, Members, message
from judge.messages import show
from judge.model import Failure, Likely, check
from judge.subject import Subject

from .room import IDS, messages_of

ONE_ORDER = (
    "Members get messages in different orders, because something is awaited between two queues. Take the id and put "
    "the message into all queues without an await in between."
)
EMPTIED = (
    "The last id is stored with the members of the room, and deleted with the last of them. Keep it apart from them: "
    "ids 1, 2, 3, ... in each room go on when the room was empty."
)
DELETED = (
    "DELETE of the last member deletes the last id of the room too. Leave the count alone there, as when a member "
    "leaves by itself."
)
NOT_A_MESSAGE = (
    "An error, a direct message, a pong or a notice took an id. Take one in the place where a message is sent to the "
    "room, and nowhere else."
)
ONE_COUNT = "Messages of other rooms take ids of this one. Keep a count for each room, by its exact name."
NO_ERROR = "A frame that isn't valid isn't answered with an error, or something is sent for a pong, as in step 05."
NO_ID = "A direct message isn't sent as in step 05. It has the keys type, from and text, and no id."
KEPT = "A room is kept when its last member has left. Remove it with its last name, and keep only its last id."
TASKS = (
    "Messages of one sender overtake each other. Handle each before you receive the next, without a task for each: "
    "tasks keep no order, and a queue does."
)

MANY = 20
"""Further rooms."""
FORGOTTEN = "The count of a room is lost when there are many other rooms. Keep all counts, without a limit."
EMPTY_AFTER = {
    4: "3 messages, and then the last member left",
    7: "6 messages, and then DELETE removed the last member",
}


class Messages:
    @check(1, "counts the ids of messages from 1 in each room, and goes on after the room was empty")
    async def test_ids(self, subject: Subject) -> None:
        members = Members(subject, PING)
        # Its neighbors are judged too, and no other check uses them.
        room, lab = pool.unique("lobby"), members.room("lab")
        for first in (1, 4, 7):
            async with members.tab(room, "Ada") as ada, members.tab(lab, "Linus") as linus:
                await self._skip(ada, 1)
                await self._skip(linus, 1)
                cause = {1: IDS, 4: EMPTIED, 7: DELETED}[first]
                ada.after = EMPTY_AFTER.get(first)
                for number in range(first, first + 3):
                    await ada.send({"type": "message", "text": f"text {number}", "id": 7, "from": "Linus"})
                    await ada.gets(message(number, "Ada", f"text {number}"), likely=Likely(cause, keys={"id": cause}))
                    ada.after, cause = None, NOT_A_MESSAGE
                    await ada.send("no JSON")
                    await ada.gets_error(likely=NO_ERROR)
                    await ada.send({"type": "direct", "to": "Nobody", "text": "note"})
                    await ada.gets_error(likely=NO_ERROR)
                    await ada.send({"type": "direct", "to": "Ada", "text": "note"})
                    await ada.gets({"type": "direct", "from": "Ada", "text": "note"}, likely=NO_ID)
                    await ada.send({"type": "pong"})
                    await linus.send({"type": "message", "text": "there"})
                    likely = Likely(ONE_COUNT, keys={"id": ONE_COUNT})
                    await linus.gets(message(number, "Linus", "there"), likely=likely)
                for name, tab in ((room, ada), (lab, linus)):
                    # The room is emptied in two ways.
                    if first == 1:
                        await tab.leave()
                    else:
                        await members.remove(name, "Ada" if tab is ada else "Linus", likely="DELETE isn't answered.")
                for name in (room, lab):
                    await members.eventually_empty(name, after="the last member left, or was removed", likely=KEPT)
        # And many other rooms, which mustn't replace the count of this one.
        for similar in (*pool.neighbors(room), *(members.room("many") for _ in range(MANY))):
            async with members.tab(similar, "Ada") as ada:
                await self._skip(ada, 1)
                await ada.send({"type": "message", "text": "similar"})
                one, other = (show(name).removeprefix("the text ") for name in (room, similar))
                ada.after = f"the room {one} has had 9 messages; this is the room {other}"
                likely = f"The rooms {other} and {one} share one count. {ONE_COUNT}"
                await ada.gets(message(1, "Ada", "similar"), likely=Likely(likely, keys={"id": likely}))
        async with members.tab(room, "Ada") as ada:
            await self._skip(ada, 1)
            await ada.send({"type": "message", "text": "again"})
            ada.after = f"the room has had 9 messages, and then {MANY} other rooms had one each"
            await ada.gets(message(10, "Ada", "again"), likely=Likely(FORGOTTEN, keys={"id": FORGOTTEN}))

    @staticmethod
    async def _skip(tab: Client, count: int) -> None:
        """Skip the presence snapshot and the events that another check judges."""
        for _ in range(count):
            await tab.next(expect="the list of members, or a notice", likely="A new tab gets no list, as in step 05.")

    @check(1, "sends all members the same messages, in one order")
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
                    raise Failure(after=after, got=got, expect="the same message at the same place", likely=ONE_ORDER)
        for name in names:
            texts = [message["text"] for message in seen[0] if message["from"] == name]
            if texts != [f"{name}: {number}" for number in range(20)]:
                expect = f"the 20 messages of {name}, in the order in which they were sent"
                raise Failure(after=after, got=show(texts), expect=expect, likely=TASKS)
