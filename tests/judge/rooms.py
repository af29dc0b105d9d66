"""What rooms must do, wherever they are: the checks of step 03, which step 04 uses again."""

import asyncio
import itertools
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, suppress
from urllib.parse import quote

from websockets.exceptions import ConnectionClosed

from .clients import Client, show
from .model import Failure
from .subject import Subject
from .tasks import spawn, stop

_numbers = itertools.count(1)

LARGE = "x" * 262_144
MANY = 16
"""So many large texts, 4 MiB, are more than the buffers on the way to a narrow client hold: 2.9 MB were measured."""
ENDS = ("leave", "finish", "reset")


class Rooms:
    """The rooms of an answer.

    Args:
        subject: the running answer.
        socket: the path of a room's socket, with `{room}` in it.
        counts: the path that answers the number of members of each room.
    """

    def __init__(self, subject: Subject, socket: str = "/ws/{room}", counts: str = "/rooms") -> None:
        self.subject = subject
        self.socket = socket
        self.counts = counts

    @staticmethod
    def name(kind: str = "lobby") -> str:
        """A room that no other check uses, so that checks can run side by side."""
        return f"{kind}-{next(_numbers)}"

    def member(self, room: str, *, narrow: bool = False) -> AbstractAsyncContextManager[Client]:
        """A new member of the room."""
        return self.subject.client(self.socket.format(room=quote(room)), narrow=narrow)

    async def has(self, expected: dict[str, int | None], *, after: str, likely: str) -> None:
        """The counts have these rooms with these members now; None stands for no entry.

        Raises:
            Failure: they have not.
        """
        counts = await self.subject.get_json(self.counts, likely=likely)
        if not self._match(counts, expected):
            raise Failure(
                after=f"{after}, GET {self.counts}", got=show(counts), expect=_wanted(expected), likely=likely
            )

    async def come_to(self, expected: dict[str, int | None], *, after: str, likely: str) -> None:
        """The counts come to have these rooms, within the patience.

        Raises:
            Failure: they do not.
        """
        await self.subject.becomes(
            self.counts,
            lambda counts: self._match(counts, expected),
            after=after,
            expect=_wanted(expected),
            likely=likely,
        )

    @staticmethod
    def _match(counts: object, expected: dict[str, int | None]) -> bool:
        return isinstance(counts, dict) and all(
            counts.get(room) == members and (members is None) == (room not in counts)
            for room, members in expected.items()
        )

    async def flood(self, sender: Client, readers: dict[str, Client], *, more: Sequence[str] = ()) -> "Flood":
        """Let `sender` send more than a member that does not read can take, until nothing moves any more.

        Args:
            sender: a member.
            readers: the members that read what comes, each with what a failure calls it.
            more: further texts that must arrive, sent by somebody else later.
        """
        flood = Flood(sender, readers, more)
        await self.subject.stands_still(flood.progress)
        return flood


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
        """This member has left and is expected to get no more."""
        del self.got[name]
        self._reading.pop(name).cancel()

    async def arrives(self, *, after: str, likely: str) -> None:
        """Everybody who reads gets every text once. As long as something moves, there is time.

        Raises:
            Failure: somebody does not.
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
                raise Failure(
                    sent=f"{MANY} texts of 256 KiB to the room",
                    after=after,
                    got=f"{name} has {len(got)} of them" + (f", {missing} missing" if missing else ""),
                    expect=f"{name} gets every text once",
                    likely=likely,
                    broken=True,
                )


def _wanted(expected: dict[str, int | None]) -> str:
    parts = [f'"{room}": {members}' if members else f'no entry for "{room}"' for room, members in expected.items()]
    return ", ".join(parts)


async def reaches_the_room(rooms: Rooms) -> None:
    """A text goes to every member once, the sender too, and to nobody else."""
    lobby, lab = rooms.name("lobby"), rooms.name("lab 한글")
    async with rooms.member(lobby) as ada, rooms.member(lobby) as grace, rooms.member(lab) as linus:
        for text in ("hello", "", '{"type": "message"}', "안녕하세요 <b>", "x" * 100_000):
            await ada.send(text)
            sender = "the sender is left out, or gets something else: pass the text on as it is, and nothing besides"
            others = "not every member gets the text; or a member joins too late, after something else was waited for"
            if not text:
                sender = others = "an empty text is taken for none: ask whether it is None"
            await ada.gets(text, likely=sender)
            grace.did = f"{show(text)} from another member of the room"
            await grace.gets(text, likely=others)
        await grace.send("from grace")
        for member in (ada, grace):
            member.did = "the text from grace"
            await member.gets("from grace", likely="a text arrives twice, or something else is sent besides")
        await linus.send("from linus")
        await linus.gets("from linus", likely="a text goes to other rooms too: keep a list of members for each room")
        async with rooms.member(lobby) as late:
            await ada.send("right after the handshake")
            late.did = "the text 'right after the handshake', sent by another member at once"
            await late.gets(
                "right after the handshake", likely="a member is added only after something else was waited for"
            )


async def counts_members(rooms: Rooms) -> None:
    """The counts are those of now: no empty room, and none that was only asked about."""
    lobby, lab, ghost = rooms.name("lobby"), rooms.name("lab"), rooms.name("ghost")
    for path in (f"{rooms.counts}/{ghost}", f"{rooms.counts}?room_id={ghost}", rooms.socket.format(room=ghost)):
        await rooms.subject.get(path, likely="an answer to a plain HTTP request, whatever it is")
    likely = "asking about a room makes one: a defaultdict makes what it is asked for, use .get()"
    await rooms.has({ghost: None}, after=f"HTTP requests that name the room {ghost}", likely=likely)
    async with rooms.member(lobby), rooms.member(lab):
        async with rooms.member(lobby) as grace:
            likely = "the counts are not those of the members that each room has now"
            await rooms.has({lobby: 2, lab: 1}, after="three handshakes", likely=likely)
            await grace.leave()
        likely = "a member that has left is still counted, or the whole room is dropped with one member"
        await rooms.come_to({lobby: 1, lab: 1}, after="a member left the lobby", likely=likely)
    likely = "an empty room is kept: take the room away with its last member"
    await rooms.come_to({lobby: None, lab: None}, after="the last members left", likely=likely)


async def survives_the_vanished(rooms: Rooms) -> None:
    """A member that vanishes costs nobody a message, and the sender stays connected."""
    lost = "a send to a member that is gone raises in the sender's endpoint: catch it around each single send"
    for end in ENDS:
        room = rooms.name()
        async with rooms.member(room) as ada, rooms.member(room) as gone, rooms.member(room) as grace:
            await getattr(gone, end)()
            for number in range(1, 4):
                text = f"text {number}"
                await ada.send(text)
                for member, who in ((ada, "the sender"), (grace, "another member")):
                    member.did = f"{show(text)} to the room, read by {who}"
                    member.after = f"a member sent {gone.did}"
                    await member.gets(text, likely=lost)
    room = rooms.name()
    async with rooms.member(room) as ada, rooms.member(room, narrow=True) as gone, rooms.member(room) as grace:
        gone.stop_reading()
        flood = await rooms.flood(ada, {"the sender": ada, "another member": grace})
        await gone.reset()
        after = "a member that had stopped reading vanished in the middle of a send to it"
        await flood.arrives(after=after, likely=f"{lost}, and loop over a copy")
        await ada.send("still here")
        for member in (ada, grace):
            member.did = "a text after all that"
            await member.gets("still here", likely=lost)


async def refuses_binary(rooms: Rooms) -> None:
    """A binary frame closes that member alone, with code 1003."""
    for frame in (b"\x00\x01", b""):
        likely = "a binary frame is not looked for: read with receive(), and close that socket with 1003"
        if not frame:
            likely = "an empty binary frame is taken for something else: ask whether there is a text, with is None"
        room = rooms.name()
        async with rooms.member(room) as ada, rooms.member(room) as grace:
            await grace.send(frame)
            await grace.is_closed(1003, likely=likely)
            await ada.send("still here")
            await ada.gets("still here", likely="the binary frame of one member ends or troubles another one")
    await _refuses_in_mid_broadcast(rooms, itself=True)
    await _refuses_in_mid_broadcast(rooms, itself=False)


async def _refuses_in_mid_broadcast(rooms: Rooms, *, itself: bool) -> None:
    """The same while a text is on its way: the loop waits for this member itself, or for one before it."""
    room = rooms.name()
    async with (
        rooms.member(room) as ada,
        rooms.member(room) as grace,
        rooms.member(room, narrow=True) as slow,
        rooms.member(room) as last,
    ):
        linus = slow if itself else last
        slow.stop_reading()
        flood = await rooms.flood(ada, {"the sender": ada, "another member": grace})
        await linus.send(b"\x00\x01")
        if itself:
            slow.read_again()
        linus.did = "a binary frame while a text was on its way to this member"
        await linus.is_closed(1003, likely="a binary frame is not looked for while a text is being sent")
        if not itself:
            flood.join("the slow member", slow)
        likely = "a send to a socket that was closed raises RuntimeError in the sender's endpoint: catch that too"
        await flood.arrives(after="a binary frame came from a member in the middle of a broadcast", likely=likely)
        await ada.send("still here")
        ada.did = "a text after all that"
        await ada.gets("still here", likely=likely)


async def skips_nobody(rooms: Rooms) -> None:
    """A member that leaves while a message is being passed on makes nobody miss it."""
    room = rooms.name()
    # The order matters: one that leaves, one that holds the loop up, and one that could be skipped.
    async with (
        rooms.member(room) as leaver,
        rooms.member(room, narrow=True) as slow,
        rooms.member(room) as grace,
        rooms.member(room) as ada,
    ):
        slow.stop_reading()
        flood = await rooms.flood(ada, {"the sender": ada, "another member": grace})
        await leaver.leave()
        likely = "a member that left stays in its room"
        await rooms.come_to({room: 3}, after="a member left while a text was being passed on", likely=likely)
        flood.join("the slow member", slow)
        await flood.arrives(
            after="a member left while the loop waited for a slow one",
            likely="the loop runs over the living list, which shrinks under it: loop over a copy",
        )


async def sender_may_leave(rooms: Rooms) -> None:
    """A text reaches everybody, also when its sender leaves while it is being passed on."""
    room = rooms.name()
    async with (
        rooms.member(room) as linus,
        rooms.member(room, narrow=True) as slow,
        rooms.member(room) as grace,
        rooms.member(room) as ada,
    ):
        slow.stop_reading()
        flood = await rooms.flood(ada, {"another member": grace}, more=["goodbye"])
        await linus.send("goodbye")
        await linus.leave()
        flood.join("the slow member", slow)
        await flood.arrives(
            after="a member sent goodbye and left while a text waited for a slow member",
            likely="a broadcast ends with its sender's endpoint: what was received must still reach everybody",
        )


async def forgets_the_gone(rooms: Rooms) -> None:
    """When a connection ends, however it ends, its member is gone from the counts."""
    likely = "the member is taken out after some ends only: put it into finally"
    for end in (*ENDS, "binary", "broken"):
        room = rooms.name()
        async with rooms.member(room) as ada:
            if end == "binary":
                await ada.send(b"\x00\x01")
            elif end == "broken":
                # 0xff is no opcode, so the server must fail the connection: RFC 6455, section 5.2.
                ada.connection.transport.write(b"\xff\xff\xff\xff")
                ada.did = "bytes that are no frame"
            else:
                await getattr(ada, end)()
            await rooms.come_to({room: None}, after=ada.did, likely=likely)
    room = rooms.name()
    async with rooms.member(room, narrow=True) as gone, rooms.member(room) as ada:
        gone.stop_reading()
        flood = await rooms.flood(ada, {"the sender": ada})
        await gone.reset()
        await rooms.come_to({room: 1}, after="a connection broke in the middle of a send to it", likely=likely)
        await flood.arrives(after="a member vanished in mid-send", likely=likely)
        await ada.leave()
        await rooms.come_to({room: None}, after="the last member left", likely=likely)
