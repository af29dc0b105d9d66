"""Let members join and leave at the same time, and check that each is announced once."""

import contextlib

from . import listeners, rooms
from .listeners import Chat, Listener, announcement, listen
from .model import Likely
from .subject import Subject

LOST = "Members that join or leave together aren't all announced. Announce each of them in its own endpoint."
ENDED = (
    "A listener disconnects meanwhile, and the other listeners don't get all announcements. Catch WebSocketDisconnect "
    "and RuntimeError around each single send, inside the loop, and loop over a copy of the listeners."
)


async def announced_together(subject: Subject, *, leaving_listeners: int) -> None:
    """Let 15 members, three of them with the name of another one, join a room together and leave it together.

    Args:
        subject: the running answer.
        leaving_listeners: the number of listeners that leave together with the members.

    Raises:
        Failure: the listeners that stay don't get exactly these announcements.
    """
    place = Chat(subject)
    room = place.name()
    names = [f"member {number}" for number in range(1, 13)]
    names += names[:3]
    async with (
        subject.client(listen(), who="the first listener") as linus,
        subject.client(listen("Zoe"), who="the second listener") as zoe,
        contextlib.AsyncExitStack() as stack,
    ):
        gone = [await stack.enter_async_context(subject.client(listen("Hedy"))) for _ in range(leaving_listeners)]
        both = [Listener(place, linus, room), Listener(place, zoe, room)]
        members = await subject.simultaneous_clients(*(place.path(room, name) for name in names))
        try:
            for each in both:
                await each.gets_in_any_order(
                    [announcement("joined", room, name) for name in names],
                    after=f"{len(names)} members joined together",
                    likely=Likely(silence=LOST),
                )
            await place.has({room: len(names)}, after="they were announced", likely=listeners.COUNTED)
            leaving = [getattr(member, rooms.ENDS[position % 3]) for position, member in enumerate(members)]
            for position, listener in enumerate(gone):
                leaving.insert(1 + 6 * position, getattr(listener, rooms.ENDS[position % 3]))
            await subject.simultaneously(*(leave() for leave in leaving))
            for each in both:
                await each.gets_in_any_order(
                    [announcement("left", room, name) for name in names],
                    after=f"{len(names)} members left together" + (f", and {len(gone)} listeners" if gone else ""),
                    likely=Likely(silence=ENDED if gone else LOST),
                )
            await place.has({room: None}, after="they were announced", likely=listeners.COUNTED)
        finally:
            for member in members:
                await member.end()
        for each in both:
            await each.has_nothing_more()
