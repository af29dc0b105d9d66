"""TODO 7: no session, room or task is left over, however a connection ends."""

import asyncio
import contextlib
import random
from collections.abc import Callable, Coroutine
from typing import Any

from judge.clients import Client
from judge.members import Members
from judge.messages import show
from judge.model import Failure, check
from judge.sessions import ENDS, Room, read_on
from judge.subject import Subject

COUNTED = "The counts aren't those of now. Count the tabs in the rooms, and keep no second count next to them."
BEHIND = "A tab stays counted when it ends like this. Put join and the loop into try, and leave into finally."
NEGATIVE = "A count is negative: a tab is subtracted twice. Count the tabs in the rooms instead."


class Counts:
    """The counts of sessions and rooms."""

    @check(7, "counts open sessions and rooms, and leaves nothing behind after each way to end")
    async def test_sessions(self, subject: Subject) -> None:
        # Use another server, because the counts and tasks are those of a whole server.
        async with subject.another(counting=True) as own:
            members = Members(own)
            await own.get(members.list_path(members.room("ghost")), likely="")
            asked = "A fresh server has no sessions and no rooms, and a GET for the names of a room creates none."
            await counts(own, 0, 0, after="no client has connected, and a GET named a room", likely=asked)
            before = await own.unfinished()
            for way, end in self._ways(own).items():
                async with Room(own) as room, Room(own) as other:
                    for place, name in ((room, "Ada"), (room, "Ada"), (other, "Ada")):
                        await place.enter(name)
                    likely = f"Every open tab is a session, also a second one of a name. {COUNTED}"
                    await counts(own, 3, 2, after="three handshakes for two rooms", likely=likely)
                    await end(room)
                    await comes_to(own, 1, 1, after=f"both tabs of one room ended: {way}", likely=BEHIND)
                    await end(other)
                after = f"the tabs of both rooms ended: {way}"
                await comes_to(own, 0, 0, after=after, likely=BEHIND)
            await self._mixed(own, members)
            await own.eventually_idle(before, after="tabs joined, and all of them ended")

    @staticmethod
    def _ways(own: Subject) -> dict[str, Callable[[Room], Coroutine[Any, Any, None]]]:
        def ended(end: str) -> Callable[[Room], Coroutine[Any, Any, None]]:
            async def all_end(room: Room) -> None:
                await own.simultaneously(*(getattr(tab, end)() for tab in room.tabs))

            return all_end

        async def removed(room: Room) -> None:
            for name in room.names:
                await room.members.remove(room.name, name, likely="")

        async def removed_and_dropped(room: Room) -> None:
            await asyncio.gather(
                *(
                    own.request("DELETE", f"{room.members.list_path(room.name)}/{name}", likely="")
                    for name in room.names
                ),
                *(tab.reset() for tab in room.tabs),
            )

        async def broken(room: Room) -> None:
            for tab in room.tabs:
                # 0xff isn't an opcode, so the server must fail the connection: RFC 6455, section 5.2.
                tab.connection.transport.write(b"\xff\xff\xff\xff")

        return {
            "with close frames": ended("leave"),
            "without close frames (FIN)": ended("finish"),
            "by a reset (RST)": ended("reset"),
            "removed by DELETE": removed,
            "removed by DELETE and reset at the same time": removed_and_dropped,
            "bytes that aren't a frame": broken,
        }

    @staticmethod
    async def _mixed(own: Subject, members: Members) -> None:
        chance = random.Random(5)
        async with contextlib.AsyncExitStack() as stack:
            rooms = [await stack.enter_async_context(Room(own)) for _ in range(3)]
            tabs: list[tuple[Room, str, Client]] = []
            for number in range(9):
                room, name = rooms[number % 3], chance.choice(("Ada", "Grace"))
                tabs.append((room, name, await room.enter(name)))
            await counts(own, 9, 3, after="9 handshakes for 3 rooms", likely=COUNTED)
            chance.shuffle(tabs)
            for room, name, tab in tabs[:3]:
                await tab.send(chance.choice(("no JSON", '{"type": "message", "text": "bye"}')))
                await own.request("DELETE", f"{members.list_path(room.name)}/{name}", likely=COUNTED)
            await asyncio.gather(*(getattr(tab, chance.choice(ENDS))() for _, _, tab in tabs[3:]))
            # One handshake is refused, and one client disconnects before it gets the presence snapshot.
            await own.handshake(members.path(rooms[0].name, "x" * 21))
            async with own.client(members.path(rooms[0].name, "Ada")) as brief:
                await brief.reset()
        after = "a mix of joins, ends and removals, and every tab has ended"
        await comes_to(own, 0, 0, after=after, likely=BEHIND)

    @check(7, "leaves nothing behind when a removed tab that doesn't read disconnects", hard=True)
    async def test_stuck_and_gone(self, subject: Subject) -> None:
        async with subject.another(counting=True) as own:
            before = await own.unfinished()
            for end in ("reset", "leave"):
                async with Room(own) as room:
                    zoe = await room.enter("Zoe", small_buffers=True)
                    ada = await room.enter("Ada")
                    await room.say(ada, "before")
                    zoe.stop_reading()
                    async with room.flood(ada, "Zoe"):
                        await own.request("DELETE", f"{room.members.list_path(room.name)}/Zoe", likely="")
                        if end == "leave":
                            read_on(zoe)
                        await getattr(zoe, end)()
                after = "a tab that didn't read was removed and disconnected, and the other tab left"
                await comes_to(own, 0, 0, after=after, likely=BEHIND)
            await own.eventually_idle(before, after="a removed tab that didn't read disconnected")

    @check(7, "counts no session after 300 tabs have ended", hard=True)
    async def test_many(self, subject: Subject) -> None:
        async with subject.another(counting=True) as own:
            before = await own.unfinished()

            async def come_and_go(number: int) -> None:
                room, name = f"many-{number % 7}", f"Ada {number % 5}"
                for turn in range(25):
                    async with own.client(Members.path(room, name)) as tab:
                        await tab.send({"type": "message", "text": "x"})
                        await getattr(tab, ENDS[(number + turn) % 3])()

            await asyncio.gather(*map(come_and_go, range(12)))
            await comes_to(own, 0, 0, after="300 tabs joined and ended", likely=BEHIND)
            await own.eventually_idle(before, after="300 tabs joined and ended")


async def counts(subject: Subject, sessions: int, rooms: int, *, after: str, likely: str) -> None:
    """Check that `GET /debug/sessions` returns these counts now."""
    got = await subject.get_json("/debug/sessions", likely=likely)
    expected = {"sessions": sessions, "rooms": rooms}
    if show(got) != show(expected) and got != expected:
        raise Failure(sent="GET /debug/sessions", after=after, got=show(got), expect=show(expected), likely=likely)


async def comes_to(subject: Subject, sessions: int, rooms: int, *, after: str, likely: str) -> None:
    """Wait until `GET /debug/sessions` returns these counts, and check that none is negative before that."""
    expected = {"sessions": sessions, "rooms": rooms}
    negative: list[object] = []

    def holds(value: object) -> bool:
        if isinstance(value, dict) and any(isinstance(each, int) and each < 0 for each in value.values()):
            negative.append(value)
        return value == expected or bool(negative)

    expect = f"{show(expected)} within 1 s, and no negative count"
    await subject.eventually("/debug/sessions", holds, after=after, expect=expect, likely=likely)
    if negative:
        raise Failure(
            sent="GET /debug/sessions", after=after, got=show(negative[0]), expect=show(expected), likely=NEGATIVE
        )
