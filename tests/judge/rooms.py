"""The checks of rooms in step 03, which step 04 uses again at other paths."""

import contextlib
import unicodedata
from collections.abc import Collection
from contextlib import suppress
from urllib.parse import unquote_plus

from . import pool
from .clients import anything
from .conversation import pause
from .flood import NOTICE, SLOW
from .messages import show
from .model import Failure, Likely
from .room_counts import PAUSE, Rooms

ENDS = ("leave", "finish", "reset")
BURST = 1100
"""The number of texts in one packet: more than any limit that a beginner might choose."""
EACH_SEND = (
    "A send to a disconnected member raises in the sender's endpoint. Catch WebSocketDisconnect and RuntimeError "
    "around each single send, and go on with the next member."
)
MEANWHILE = (
    "A member that joins while the last one leaves is lost. Look whether the room is empty and remove it without an "
    "await in between."
)
FAILED_ONE = (
    "When one send fails, the sends to other members are canceled or skipped. Catch the errors of each single send "
    "inside the loop or the task that sends it."
)
CANCELLED = (
    "A broadcast ends early when its sender disconnects: it's canceled with the endpoint, or the failed send to the "
    "sender ends the sends to the others. Catch the errors of each single send, and finish the loop in any case."
)
COPY = "The loop runs over the members while one of them is removed. Loop over a copy: list(members)."
CAUGHT_OR_COPIED = (
    "Either an error of a send ends the whole loop: catch it around each single send. Or the loop runs over the "
    "members while one of them is removed. Loop over a copy: list(members)."
)
"""Why a broadcast misses members when others disconnect, if it isn't known whether the errors of sends are caught."""
LOCKED = (
    "Joining and leaving wait until a slow member reads: your code holds a lock while it sends. Hold the lock only to "
    "copy the members, and send without it."
)
SENDER = "The sender is left out, or the loop doesn't reach it. Send to every member of the room, the sender included."
REPLACED = (
    "Only the last member gets texts, so it has replaced the one before. Two members may share a cookie, an address "
    "or a name: keep the websocket objects themselves, in a set or a list."
)
MEMBERS = (
    "Not every member of the room gets the text. Add each member to the room right after accept(), before anything "
    "that waits, and send to all of them."
)
ELSEWHERE = "A text goes to other rooms too. Keep the members of each room under its exact name."
UNCHANGED = "Your code changes the text. Send the same string that you received."


async def reaches_the_room(rooms: Rooms) -> None:
    """Check that every member gets a text once, including the sender, and that no other connection gets it."""
    lobby, lab = rooms.name("lobby"), rooms.name("lab 한글")
    async with (
        rooms.member(lobby, "Ada") as ada,
        rooms.member(lobby, "Grace") as grace,
        rooms.member(lab, "Linus, who is in another room,") as linus,
    ):
        for kind, text in {"first": "hello", "repeated": "hello", **pool.texts()}.items():
            await ada.send(text)
            empty = "An empty text is taken for none. Ask whether it is None." if not text else ""
            repeated = (
                "An equal text isn't sent again. Send every text, also a repeated one." if kind == "repeated" else ""
            )
            ends = "Your code ends the connection at this text. Deliver every text, whatever it holds."
            try:
                await ada.gets(text, likely=Likely(silence=repeated or empty or SENDER, wrong=UNCHANGED, closed=ends))
            except Failure as failure:
                # Decide between two causes: the sender is left out, or the second member has replaced the first.
                if kind == "first" and "Grace received" in failure.got:
                    await grace.send("from grace")
                    if await grace.receives("from grace"):
                        failure.likely = REPLACED
                elif kind not in ("first", "repeated", "empty") and "no answer" in failure.got:
                    await ada.send(text)
                    if await ada.receives(text):
                        failure.likely = (
                            "The same text is delivered later: your code limits the rate. Deliver all texts."
                        )
                    else:
                        failure.likely = f"A text of this kind isn't delivered: {kind}. Deliver every text."
                raise
            grace.did = f"{show(text)}, from another member of the room"
            await grace.gets(text, likely=Likely(silence=repeated or empty or MEMBERS, wrong=UNCHANGED))
        await grace.send("from grace")
        for member in (ada, grace):
            member.did = "the text from grace"
            await member.gets("from grace", likely=Likely(silence=MEMBERS, surplus=""))
        await linus.send("from linus")
        await linus.gets("from linus", likely=Likely(silence=SENDER, wrong=ELSEWHERE))
        async with rooms.member(lobby, "Zoe") as late:
            await ada.send("right after the handshake")
            late.did = "the text 'right after the handshake', from another member"
            await late.gets(
                "right after the handshake",
                likely=Likely(
                    silence=MEMBERS,
                    surplus="A member gets texts from before its handshake. Send only what comes from then on.",
                ),
            )
            await late.has_nothing_more()
        await linus.has_nothing_more(likely=NOTICE, misdelivered=ELSEWHERE)
        await ada.send("the last one")
        for member in (ada, grace):
            for text in ("right after the handshake", "the last one"):
                member.did = f"{show(text)} from Ada"
                await member.gets(text, likely=Likely(silence=MEMBERS, surplus=NOTICE))


async def counts_rooms_apart(rooms: Rooms) -> None:
    """Check that rooms with similar names are counted as different rooms, each under its exact name."""
    async with contextlib.AsyncExitStack() as stack:
        expected: dict[str, int | None] = {}
        for room in pool.rooms().values():
            for name in (room, *pool.neighbors(room)):
                await stack.enter_async_context(rooms.member(name))
                expected[name] = 1
        changed = "The name of a room is changed. Count each room under its exact name."
        await rooms.has(expected, after=f"one handshake for each of {len(expected)} rooms", likely=changed)
    left = f"the members of {len(expected)} rooms left"
    await rooms.eventually_has(dict.fromkeys(expected), after=left, likely="Empty rooms are kept. Remove each one.")


def _change(name: str, room: str) -> str:
    """Explain why the answer confuses two names of rooms, by what the names have in common."""
    if unquote_plus(name) == unquote_plus(room):
        return "Your code decodes the name a second time. Remove unquote() or unquote_plus(): it's decoded already."
    if name.casefold() == room.casefold():
        return "Your code changes upper and lower case. Use the name as it is."
    if name.strip() == room.strip():
        return "Your code removes white space. Use the name as it is."
    if unicodedata.normalize("NFKC", name) == unicodedata.normalize("NFKC", room):
        return "Your code changes the Unicode form. Use the name as it is."
    return "Use the name as it is, without a change."


async def keeps_rooms_apart(rooms: Rooms, kinds: Collection[str] = tuple(pool.ROOMS)) -> None:
    """Check that rooms with similar names are different rooms.

    Args:
        rooms: the rooms of the answer.
        kinds: the kinds of names, as in `pool.ROOMS`; by default all.
    """
    for kind, room in pool.rooms().items():
        if kind not in kinds:
            continue
        async with contextlib.AsyncExitStack() as stack:
            ada = await stack.enter_async_context(rooms.member(room, "Ada"))
            neighbors = {
                name: await stack.enter_async_context(rooms.member(name, f"the member of {name!r}"))
                for name in pool.neighbors(room)
            }
            text = f"for {room!r} alone"
            await ada.send(text)
            await ada.gets(text, likely=f"A room with such a name gets no texts: {kind}. {SENDER}")
            for name, neighbor in neighbors.items():
                own = f"for {name!r} alone"
                neighbor.earlier = f"{show(text)} in the room {room!r}, from Ada"
                await neighbor.send(own)
                neighbor.did = f"{show(own)} in the room {name!r}, after a text in the room {room!r}"
                mixed = f"{name!r} and {room!r} are taken for one room. {_change(name, room)}"
                await neighbor.gets(own, likely=Likely(silence=SENDER, wrong=mixed, surplus=mixed))
            similar = "Rooms with similar names are taken for one."
            await ada.has_nothing_more(likely=NOTICE, misdelivered=similar)


async def delivers_a_burst(rooms: Rooms) -> None:
    """Check that texts that arrive at the same time reach every member, in their order."""
    room = rooms.name()
    async with rooms.member(room, "Ada") as ada, rooms.member(room, "Grace") as grace:
        texts = [f"burst {number}" for number in range(1, BURST + 1)]
        await ada.send_burst(*texts)
        lost = "Texts that arrive together get lost, for example in a queue that is full. Deliver every text."
        for member in (ada, grace):
            member.did = f"{len(texts)} texts from Ada in one packet"
            order = "Texts of one sender overtake each other. Send them in the order in which they were received."
            await member.gets_all(texts, likely=Likely(silence=lost, wrong=lost, order=order))


async def counts_members(rooms: Rooms) -> None:
    """Check that the counts are current, without empty rooms or rooms that were only requested."""
    lobby, lab, ghost = rooms.name("lobby"), rooms.name("lab"), rooms.name("ghost")
    for path in (f"{rooms.counts}/{ghost}", f"{rooms.counts}?room_id={ghost}", rooms.socket.format(room=ghost)):
        await rooms.subject.get(path, likely="A plain HTTP request isn't answered.")
    likely = "Asking about a room creates it. A defaultdict creates what it is asked for, so use .get()."
    await rooms.has({ghost: None}, after=f"HTTP requests that name the room {ghost}", likely=likely)
    async with rooms.member(lobby), rooms.member(lab):
        likely = "The counts are not those of the members that each room has now."
        async with rooms.member(lobby, "Grace") as grace:
            await rooms.has({lobby: 2, lab: 1}, after="three handshakes", likely=likely)
            await grace.send("from the second member")
            await grace.gets("from the second member", likely=Likely(silence=SENDER, surplus=NOTICE))
            await grace.leave()
        likely = "A member that has disconnected is still counted, or the whole room is removed with one member."
        await rooms.eventually_has({lobby: 1, lab: 1}, after="a member left the lobby", likely=likely)
        async with rooms.member(lobby, "Linus") as linus:
            await linus.send("from the newcomer")
            cached = "The newcomer isn't in the list that a broadcast uses. Copy the members again for each broadcast."
            await linus.gets("from the newcomer", likely=Likely(silence=cached, surplus=NOTICE))
        await rooms.eventually_has({lobby: 1, lab: 1}, after="a member joined the lobby and left", likely=likely)
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(11):
                await stack.enter_async_context(rooms.member(lobby))
            await rooms.has({lobby: 12, lab: 1}, after="eleven more handshakes for the lobby", likely=likely)
        await rooms.eventually_has({lobby: 1, lab: 1}, after="eleven members left the lobby", likely=likely)
    likely = "An empty room is kept. Remove the room with its last member."
    await rooms.eventually_has({lobby: None, lab: None}, after="the last members left", likely=likely)


async def survives_disconnects(rooms: Rooms) -> None:
    """Check that no other member misses a message when a member disconnects, and that the sender stays connected."""
    lost = EACH_SEND
    for end in ENDS:
        room = rooms.name()
        async with (
            rooms.member(room, "Ada") as ada,
            rooms.member(room, "Linus") as gone,
            rooms.member(room, "Grace") as grace,
        ):
            await getattr(gone, end)()
            for number in range(1, 4):
                text = f"text {number}"
                await ada.send(text)
                for member, who in ((ada, "the sender"), (grace, "another member")):
                    member.did = f"{show(text)} to the room, read by {who}"
                    member.after = f"a member sent {gone.did}"
                    await member.gets(text, likely=Likely(silence=lost, closed=lost, surplus=NOTICE))
            for member in (ada, grace):
                await member.has_nothing_more(likely=NOTICE)
    # The last member leaves while another one joins.
    for _ in range(3):
        room = rooms.name()
        async with rooms.member(room, "Ada") as ada:
            (newcomer,) = await rooms.subject.simultaneous_clients(rooms.path(room), first=ada.leave)
        try:
            # Wait until the endpoint of the member that left can have cleaned up.
            await rooms.subject.stands_still(lambda: 0)
            await newcomer.send("from the newcomer")
            newcomer.did = "a text of a member that joined while the last other one left"
            await newcomer.gets("from the newcomer", likely=Likely(MEANWHILE, closed=MEANWHILE, certain=True))
        finally:
            await newcomer.end()
    # Two members disconnect at the same time, just before or after a text is sent.
    room = rooms.name()
    async with rooms.member(room, "Ada") as ada, rooms.member(room, "Grace") as grace:
        for number in range(4):
            async with rooms.member(room, "Linus") as one, rooms.member(room, "Zoe") as other:
                ends = [one.reset(), other.reset()]
                text = ada.send(f"text {number}")
                await rooms.subject.simultaneously(*((*ends, text) if number % 2 else (text, *ends)))
                for member in (ada, grace):
                    member.did = f"text {number} from Ada, while two members disconnected"
                    member.after = "two members disconnected at the same time, without a close frame"
                    await member.gets(f"text {number}", likely=Likely(silence=EACH_SEND, closed=EACH_SEND))
    room = rooms.name()
    async with (
        rooms.member(room, "Ada") as ada,
        rooms.member(room, "Linus", small_buffers=True) as gone,
        rooms.member(room, "Zoe", small_buffers=True) as gone_too,
        rooms.member(room, "Grace") as grace,
    ):
        gone.stop_reading()
        gone_too.stop_reading()
        flood = await rooms.flood(ada, {"the sender": ada, "another member": grace})
        await rooms.subject.simultaneously(gone.reset(), gone_too.reset())
        after = "two members that had stopped reading disconnected in the middle of a send to them"
        await flood.arrives(after=after, likely=CAUGHT_OR_COPIED, ended=EACH_SEND)
        await ada.send("still here")
        for member in (ada, grace):
            member.did = "a text after all that"
            await member.gets("still here", likely=Likely(silence=lost, surplus=NOTICE))
    await one_failure_stops_no_other(rooms)


async def one_failure_stops_no_other(rooms: Rooms) -> None:
    """Check that a slow member gets every text, although two others disconnect while sends to all three wait."""
    room = rooms.name()
    async with (
        rooms.member(room, "Zoe", small_buffers=True) as slow,
        rooms.member(room, "Linus", small_buffers=True) as one,
        rooms.member(room, "Edsger", small_buffers=True) as other,
        rooms.member(room, "Ada") as ada,
    ):
        for member in (slow, one, other):
            member.stop_reading()
        flood = await rooms.flood(ada, {"the sender": ada})
        await rooms.subject.simultaneously(one.reset(), other.reset())
        await rooms.subject.stands_still(flood.progress)
        flood.join(SLOW, slow)
        after = "three members stopped reading, two of them disconnected, and the third read on"
        await flood.arrives(after=after, likely=FAILED_ONE)


BINARY = (
    "Your code doesn't look for a binary message. Read with receive(), and call close(1003) if "
    'message.get("text") is None.'
)
EMPTY_BINARY = 'An empty binary message is taken for something else. Ask whether message.get("text") is None.'


async def refuses_binary(rooms: Rooms) -> None:
    """Check that a binary message closes only that member, with code 1003, and that nothing is sent before."""
    for frame in (b"\x00\x01", b"", b"text", b"\xff"):
        room = rooms.name()
        async with rooms.member(room, "Ada") as ada, rooms.member(room, "Grace") as grace:
            await grace.send(frame)
            await grace.is_closed(1003, likely=BINARY if frame else EMPTY_BINARY)
            await ada.send("still here")
            await ada.gets(
                "still here",
                likely=Likely(
                    silence="A binary message of one member ends or disturbs another one.",
                    surplus="Another member gets a message about it. Close that one connection, and send nothing.",
                ),
            )
    await _refuses_in_mid_broadcast(rooms, itself=True)
    await _refuses_in_mid_broadcast(rooms, itself=False)


async def _refuses_in_mid_broadcast(rooms: Rooms, *, itself: bool) -> None:
    """Check the same during a broadcast: the loop waits for this member itself, or for one before it."""
    room = rooms.name()
    async with (
        rooms.member(room, "Ada") as ada,
        rooms.member(room, "Grace") as grace,
        rooms.member(room, "Zoe", small_buffers=True) as slow,
        rooms.member(room, "Linus") as last,
    ):
        linus = slow if itself else last
        slow.stop_reading()
        flood = await rooms.flood(ada, {"the sender": ada, "another member": grace})
        await linus.send(b"\x00\x01")
        if itself:
            slow.read_again()
        linus.did = "a binary message, while a send to this member waited"
        try:
            # The texts of the broadcast arrive before the close.
            await linus.is_closed(1003, likely=BINARY, besides=anything)
        except Failure as failure:
            if await _joining_waits(rooms, room):
                failure.likely = LOCKED
            raise
        if not itself:
            flood.join(SLOW, slow)
        likely = (
            "A send to a connection that your code has closed raises RuntimeError in the sender's endpoint. Remove "
            "the member before you close it, and catch RuntimeError around each send too."
        )
        await flood.arrives(after="a binary message came from a member during a broadcast", likely=likely)
        await ada.send("still here")
        ada.did = "a text after all that"
        await ada.gets("still here", likely=likely)


async def _joining_waits(rooms: Rooms, room: str) -> bool:
    """Return whether a new member isn't counted while a send to another one waits."""
    with suppress(Failure):
        before = (await rooms.subject.get_json(rooms.counts, likely="")).get(room, 0)
        async with rooms.member(room):
            for _ in range(3):
                counts = await rooms.subject.get_json(rooms.counts, likely="")
            return bool(counts.get(room, 0) <= before)
    return False


async def skips_no_member(rooms: Rooms) -> None:
    """Check that no member misses a text, including a slow one, if another member disconnects during the broadcast."""
    room = rooms.name()
    # The order matters: one that leaves, one that blocks the loop, and one that could be skipped.
    async with (
        rooms.member(room, "Linus") as leaver,
        rooms.member(room, "Zoe", small_buffers=True) as slow,
        rooms.member(room, "Grace") as grace,
        rooms.member(room, "Ada") as ada,
    ):
        slow.stop_reading()
        flood = await rooms.flood(ada, {"the sender": ada, "another member": grace})
        async with rooms.member(rooms.name("lab"), "Edsger") as elsewhere:
            await elsewhere.send("in another room")
            elsewhere.did = "a text in another room, while a send to a slow member waited"
            shared = "A room waits for a slow member of another room. Don't hold a lock while you send."
            await elsewhere.gets("in another room", likely=shared)
        await leaver.leave()
        likely = "A member that has disconnected stays in its room. Remove it in finally."
        after = "a member left while a send to another one waited"
        try:
            await rooms.eventually_has({room: 3}, after=after, likely=likely)
        except Failure as failure:
            if await _joining_waits(rooms, room):
                failure.likely = LOCKED
            raise
        await pause(PAUSE)
        flood.join(SLOW, slow)
        await flood.arrives(
            after=f"a member left while a send to a slow one waited, and the slow one read on after {PAUSE:g} s",
            likely=COPY,
            slow="A slow member is taken for a disconnected one. Don't limit the time of a send.",
        )


async def sender_may_leave(rooms: Rooms) -> None:
    """Check that a text reaches all members, even if its sender disconnects during the broadcast."""
    room = rooms.name()
    async with (
        rooms.member(room, "Linus") as linus,
        rooms.member(room, "Zoe", small_buffers=True) as slow,
        rooms.member(room, "Grace") as grace,
        rooms.member(room, "Ada") as ada,
    ):
        slow.stop_reading()
        flood = await rooms.flood(ada, {"another member": grace}, more=["the last words"])
        await linus.send("the last words")
        await linus.leave()
        flood.join(SLOW, slow)
        await flood.arrives(
            after="a member sent a text and left, while its broadcast waited for a slow member",
            likely=CANCELLED,
        )
    room = rooms.name()
    async with rooms.member(room, "Ada") as ada, rooms.member(room, "Grace") as grace:
        async with rooms.member(room, "Linus") as linus:
            await linus.send_burst("the last words", close=True)
            for member in (ada, grace):
                member.did = "a text and a close frame from Linus in one packet"
                await member.gets("the last words", likely=CANCELLED)


async def forgets_the_disconnected(rooms: Rooms) -> None:
    """Check that a member is no longer counted after its connection has ended in any way."""
    likely = "The member is removed after some ends only. Remove it in finally."
    for end in (*ENDS, "binary", "broken"):
        room = rooms.name()
        async with rooms.member(room, "Grace"), rooms.member(room, "Linus"), rooms.member(room, "Ada") as ada:
            if end == "binary":
                await ada.send(b"\x00\x01")
            elif end == "broken":
                # 0xff isn't an opcode, so the server must fail the connection: RFC 6455, section 5.2.
                ada.connection.transport.write(b"\xff\xff\xff\xff")
                ada.did = "bytes that aren't a frame"
            else:
                await getattr(ada, end)()
            await rooms.eventually_has({room: 2}, after=f"{ada.did}, from one of three members", likely=likely)
            # A later cleanup must not remove another member.
            await rooms.subject.stands_still(lambda: 0)
            after = f"{ada.did}, from one of three members, and a moment later"
            await rooms.has({room: 2}, after=after, likely="A member is removed twice, so another one isn't counted.")
        await rooms.eventually_has({room: None}, after="the last members left", likely=likely)
        async with rooms.member(room, "Ada") as ada:
            if end == "binary":
                await ada.send(b"\x00\x01")
            else:
                await getattr(ada, end if end in ENDS else "leave")()
            kept = "The member is removed after this end, and its empty room isn't. Remove both in finally."
            await rooms.eventually_has({room: None}, after=f"{ada.did}, from the only member", likely=kept)
    room = rooms.name()
    async with rooms.member(room, small_buffers=True) as gone, rooms.member(room, "Ada") as ada:
        gone.stop_reading()
        flood = await rooms.flood(ada, {"the sender": ada})
        await gone.reset()
        await rooms.eventually_has({room: 1}, after="a connection broke during a send to it", likely=likely)
        await flood.arrives(after="a member disconnected during a send to it", likely=EACH_SEND)
        await ada.leave()
        await rooms.eventually_has({room: None}, after="the last member left", likely=likely)
    # Six members join at the same time, and five of them leave at the same time.
    room = rooms.name()
    members = await rooms.subject.simultaneous_clients(*[rooms.path(room)] * 6)
    try:
        await rooms.subject.simultaneously(
            *(getattr(member, ENDS[place % 3])() for place, member in enumerate(members[1:]))
        )
        after = "six members joined together, and five of them left together"
        await rooms.eventually_has({room: 1}, after=after, likely=likely)
    finally:
        for member in members:
            await member.end()


async def keeps_fifty_rooms(rooms: Rooms) -> None:
    """Check that sixty rooms, and fifty-one members in one room, are all counted, and that every text arrives."""
    names = [rooms.name("many") for _ in range(60)]
    async with contextlib.AsyncExitStack() as stack:
        members = [await stack.enter_async_context(rooms.member(name)) for name in names]
        likely = "Your code limits the number of rooms, or of members in a room. Make doesn't ask for a limit."
        await rooms.has(dict.fromkeys(names, 1), after="one handshake for each of sixty rooms", likely=likely)
        for name, member in zip(names, members, strict=True):
            await member.send(f"in {name}")
            await member.gets(f"in {name}", likely=likely)
        crowd = [await stack.enter_async_context(rooms.member(names[0])) for _ in range(50)]
        await rooms.has({names[0]: 51}, after="fifty more handshakes for one room", likely=likely)
        await crowd[0].send("to the crowd")
        for member in crowd:
            member.did = "a text to a room of 51 members"
            await member.gets("to the crowd", likely=likely)
    await rooms.eventually_has(
        dict.fromkeys(names), after="all members of sixty rooms left", likely="Rooms stay behind."
    )
