"""TODO 1: names, the presence snapshot for a new tab, and join and leave events for the others."""

import asyncio
import contextlib
from dataclasses import replace
from urllib.parse import quote

from judge import pool
from judge.members import Members, View, joined
from judge.model import Failure, Likely, check
from judge.sessions import ENDS, JOINED, LEFT, LIST, Room, show_name
from judge.subject import Subject
from judge.tasks import spawn

BY_PARAMETER = "Let the parameter refuse it: name: Annotated[str, Query(min_length=1, max_length=20)]."
REFUSED = {
    "": "a handshake without a name",
    "?name=": "an empty name",
    f"?name={'x' * 21}": "a name of 21 characters",
    f"?name={quote('한' * 21)}": "a name of 21 characters",
    f"?name={'y' * 300}": "a name of 300 characters",
    "?nickname=Ada": "a name under another key",
}
OVERLAP = (
    "The list and the notices overlap or have a gap. Add the tab, make the list and note the receivers of joined "
    "without an await in between, and take a tab out before the first await of its end."
)
CUT = Likely(
    silence="A message to a full room isn't sent to all tabs. Make doesn't limit the members of a room.",
    wrong="The list isn't complete. Make doesn't limit the members of a room, so send all names.",
)


class Presence:
    """Names, presence snapshots, and join and leave events."""

    @check(1, "accepts a name of 1 to 20 characters, and no other")
    async def test_names(self, subject: Subject) -> None:
        for query, what in REFUSED.items():
            path = f"/ws/{Members.room()}{query}"
            answer = await subject.handshake(path)
            if answer != 403:
                if not isinstance(answer, int):
                    await answer.close()
                got = f"HTTP {answer}" if isinstance(answer, int) else "the connection accepted"
                likely = f"Your endpoint accepts {what}. {BY_PARAMETER}"
                raise Failure(sent=f"{what}: a handshake for {path}", got=got, expect="HTTP 403", likely=likely)

    @check(1, "sends each new tab the list first, with every name exactly as it is")
    async def test_list(self, subject: Subject) -> None:
        async with Room(subject) as room:
            # Check a plain room first, because its failures need no special names.
            for name in ("Linus", "Grace", "Ada"):
                await room.enter(name)
            await room.visit()
            await room.end()
        async with Room(subject) as room:
            await room.enter("Grace")
            for name in ("grace", "Grace ", " Grace", "Grace2", "@Grace", "Grac", "GRACE"):
                same = f"{show_name(name)} and {show_name('Grace')} are taken for one name. Use each exactly as it is."
                listed = replace(LIST, wrong=same)
                await room.enter(name, listed=listed, noticed=replace(JOINED, silence=same, wrong=same))
            await room.end()
        name = pool.rooms()["characters of URLs"]
        async with Room(subject, name) as room:
            watcher = await room.enter("Watcher")
            for kind, name in pool.names().items():
                changed = f"A name of this kind is changed: {kind}. Use each name exactly as it is in the query."
                await room.enter(
                    name,
                    listed=replace(LIST, wrong=changed),
                    noticed=replace(JOINED, wrong=changed),
                    unread=[tab for tab in room.tabs if tab is not watcher],
                )
            await watcher.has_nothing_more(likely="A further message follows the notices.")

    @check(1, "sends the others joined and left, to every tab of every other name, once")
    async def test_notices(self, subject: Subject) -> None:
        async with Room(subject) as room, Room(subject) as lab:
            await room.enter("Grace")
            elsewhere = await lab.enter("Barbara")
            await room.enter("Linus")
            await room.visit()
            for end in ENDS:
                ada = await room.enter("Ada")
                zoe = await room.enter("Zoe")
                ways = {"leave": "with a close frame", "finish": "without a close frame", "reset": "by a reset"}
                likely = replace(
                    LEFT,
                    silence=f"This tab gets no left when a member disconnects {ways[end]}. In finally, remove it, "
                    "and then send left to every tab of every other name.",
                    surplus="left is sent more than once, or to the wrong tabs. Send it once to each other tab.",
                )
                await room.leave(ada, end, likely=likely)
                await room.leave(zoe, end, likely=likely)
                await room.visit()
            lab.expect_nothing([elsewhere], "joins and leaves in another room", "Notices go to other rooms too.")
            await lab.enter("Ada")
            await lab.end()
            await room.end()

    @staticmethod
    async def _lists_all(subject: Subject, room: str, there: set[str]) -> bool:
        """Return whether a tab that joins now, when no other one does, gets the complete presence snapshot."""
        with contextlib.suppress(Failure):
            async with subject.client(Members.path(room, "Probe")) as tab:
                first = await tab.next_object(expect="the list", likely="")
                return bool(isinstance(first, dict) and there <= set(first.get("names", [])))
        return True

    @check(1, "keeps list and notices consistent while 60 members join and others leave")
    async def test_crowd(self, subject: Subject) -> None:
        room = Members.room()
        async with contextlib.AsyncExitStack() as stack:

            async def enter(*names: str) -> list[View]:
                tabs = await subject.simultaneous_clients(*(Members.path(room, name) for name in names))
                for tab in tabs:
                    stack.push_async_callback(tab.end)
                return [View(tab, name) for tab, name in zip(tabs, names, strict=True)]

            staying = await enter(*(f"Ada {number}" for number in range(40)))
            going = await enter(*(f"Grace {number}" for number in range(8)))
            # Other members join while these leave.
            leaving = [spawn(view.tab.leave()) for view in going]
            staying += await enter(*(f"Linus {number}" for number in range(12)))
            await asyncio.gather(*leaving)
            there = {view.own for view in staying}
            after = "60 members joined and 8 of them left, many at the same time"
            for view in staying:
                try:
                    await view.settles(there, after=after, likely=OVERLAP)
                except Failure as failure:
                    if not await self._lists_all(subject, room, there):
                        failure.likely = CUT.wrong
                    raise
            # One more tab joins last, so its event follows everything else that was sent.
            async with subject.client(Members.path(room, "Zoe")) as zoe:
                await zoe.gets({"type": "members", "names": sorted({*there, "Zoe"})}, likely=CUT)
                for view in staying:
                    view.tab.did = "a handshake of Zoe, in a room of 52 members"
                    await view.tab.gets(joined("Zoe"), likely=replace(JOINED, surplus=OVERLAP))
