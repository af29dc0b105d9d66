"""Listeners of announcements in step 04, and explanations of missing or wrong announcements."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any
from urllib.parse import quote

from websockets import frames

from .clients import Client, anything
from .conversation import pause
from .differences import difference
from .handshakes import SHARED
from .messages import parsed, show
from .model import Failure, Likely
from .rooms import Rooms
from .subject import Subject

ROOT = "/api/chat/ws"
COUNTS = "/api/lobby/rooms"
CROWD = 300
"""Members that join and leave while a listener pauses: 600 announcements."""
PAUSE = 1.2
"""Seconds that a listener pauses before it reads again."""
TOGETHER = 50
"""Number of handshakes that a crowd sends at the same time."""

TWO_DICTS = (
    "chat.py adds members to one dict, and lobby.py counts another one. Create the dict in one module, such as "
    "rooms.py, and import it in both."
)
REASSIGNED = (
    "Members were counted at first and no longer are: your code assigns a new dict to the name, and the other "
    "module keeps the old one. Change the one dict: rooms[room_id] = ... and del rooms[room_id]."
)
STALE = (
    "The counts become right only later, so they're computed from time to time, or cached. Compute them from the "
    "rooms in each request."
)
NOT_ANNOUNCED = (
    "No listener gets an announcement. Send it to each listener at the end of join and of leave, and await that."
)
ALREADY_SENT = "This was announced before. Announce each change once, in one place: at the end of join and of leave."
SURPLUS = "Something else than a member's join or leave is sent to listeners. Announce in join and in leave only."
ONE_LISTENER = (
    "Only one listener gets the announcement, so listeners replace each other, or the loop returns after the first. "
    "Keep all listeners in a set, and send to each of them."
)
ORDER = (
    "Announcements about one member overtake each other: each one is a task of its own. Await the announcement in "
    "join, before the endpoint goes on."
)
OTHER_NAME = (
    "The announcement carries the name of another member. Pass the endpoint's own name to join and to leave; don't "
    "store one name for each room."
)
OTHER_ROOM = "The announcement carries another room. Pass the endpoint's own room_id to join and to leave."

HOLD_UP = "Your code blocks the event loop while it sends an announcement."
COUNTED = "The announcement is sent before the room has changed. Change the room first, and announce then."
EACH_LISTENER = (
    "A send to a disconnected listener raises, and the loop ends there. Catch WebSocketDisconnect and RuntimeError "
    "around each single send, inside the loop."
)
COPY = "The loop runs over the listeners while one of them is removed. Loop over a copy: list(listeners)."
BOUNDED = "Only some of forty listeners get the announcement, so their number is limited. Keep each of them."

used: set[str] = set()
"""The rooms that any check has used."""


class Elsewhere(dict[str, Any]):
    """An object that equals every announcement about a room that only other checks use.

    Args:
        own: the rooms of this check.
    """

    def __init__(self, own: Iterable[str]) -> None:
        super().__init__()
        self.own = set(own)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, dict)
            and other.keys() == {"type", "room", "name"}
            and other["type"] in ("joined", "left")
            and isinstance(other["name"], str)
            and isinstance(other["room"], str)
            and other["room"] in used - self.own
        )

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None


def listen(name: str = "Linus") -> str:
    """Return the path of a listener with this name."""
    return f"{ROOT}/announcements?name={quote(name)}"


def announcement(event: str, room: str, name: str) -> dict[str, str]:
    """Return the announcement of one member.

    Args:
        event: `joined` or `left`.
        room: the member's room.
        name: the member's name.
    """
    return {"type": event, "room": room, "name": name}


async def facts_of(subject: Subject) -> dict[str, Any]:
    """Return the routes and other facts of the answer; see `router_probe.py`."""
    probe = await subject.probe("router_probe")
    facts: dict[str, Any] = await probe.get_json("/judge-facts", likely="The app doesn't answer GET requests.")
    return facts


class Chat(Rooms):
    """The rooms of step 04.

    Args:
        subject: the running answer.
        explains: whether to request wrong counts again, to find out why they're wrong.
    """

    def __init__(self, subject: Subject, *, explains: bool = False) -> None:
        super().__init__(subject, f"{ROOT}/{{room}}?name=Ada", COUNTS)
        self._explains = explains
        self._counted = False

    def path(self, room: str, name: str = "Ada") -> str:
        """Return the path of a member's connection.

        Args:
            room: the member's room.
            name: the member's name.
        """
        used.add(room)
        return f"{ROOT}/{quote(room, safe='')}?name={quote(name, safe='')}"

    def named(self, room: str, name: str, *, small_buffers: bool = False) -> AbstractAsyncContextManager[Client]:
        """Connect a member with this name; see `Rooms.member`."""
        return self.subject.client(self.path(room, name), who=name, small_buffers=small_buffers)

    async def has(self, expected: dict[str, int | None], *, after: str, likely: str) -> None:
        """See `Rooms.has`."""
        try:
            await super().has(expected, after=after, likely=likely)
        except Failure as failure:
            if self._explains and not failure.broken:
                failure.likely = await self._why(expected, look_again=True) or failure.likely
            raise
        self._counted = self._counted or any(expected.values())

    async def eventually_has(self, expected: dict[str, int | None], *, after: str, likely: str) -> None:
        """See `Rooms.eventually_has`."""
        try:
            await super().eventually_has(expected, after=after, likely=likely)
        except Failure as failure:
            if self._explains and not failure.broken:
                failure.likely = await self._why(expected) or failure.likely
            raise

    async def _why(self, expected: dict[str, int | None], *, look_again: bool = False) -> str | None:
        """Explain wrong counts: a changed room name, counts that become right later, or members that aren't counted."""
        counts = await self.subject.get_json(self.counts, likely="")
        for room in expected:
            number = room.rpartition("-")[2]
            for other in counts if isinstance(counts, dict) and expected[room] and room not in counts else ():
                if other.endswith(f"-{number}"):
                    changed = difference({"room": room}, json.dumps({"room": other}))
                    return changed or f"The room is listed as {other!r}. Use room_id as it is, without a change."
        if look_again:
            try:
                await super().eventually_has(expected, after="", likely="")
            except Failure:
                pass
            else:
                return STALE
        room = self.name("look")
        async with self.member(room):
            counts = await self.subject.get_json(self.counts, likely="")
            if isinstance(counts, dict) and room not in counts:
                return REASSIGNED if self._counted else TWO_DICTS
        return None

    async def answers(self) -> None:
        """Check that `GET /api/lobby/rooms` returns JSON, without a redirect, a name or a slash at the end.

        Raises:
            Failure: the status isn't 200.
        """
        response = await self.subject.get(self.counts, likely="The route waits for something.")
        if response.status_code == 200:
            return
        got = f"status {response.status_code}, {show(response.text)}"
        likely = f"The endpoint of GET {self.counts} sets this status. Return the dict with the counts."
        if response.status_code in (307, 308):
            got = f"status {response.status_code}, a redirect to {response.headers.get('location')}"
            likely = 'The path of your route ends with a slash. Remove it: @router.get("/rooms").'
        elif response.status_code == 404:
            listed = (await facts_of(self.subject))["listed"]
            routes = f"Your app has {', '.join(listed)}, and not" if listed else "Your app doesn't have"
            likely = (
                f"{routes} GET {self.counts}. Correct the path: the prefix of the router and the path of the route "
                "add up to it."
            )
        elif response.status_code == 422:
            missing = ", ".join(sorted({str(each["loc"][-1]) for each in response.json()["detail"]}))
            likely = (
                f"GET {self.counts} asks for {missing}: a dependency belongs to the app, or to a router that includes "
                "the lobby. Put it on the chat's router only."
            )
        elif response.status_code == 405:
            likely = f"The route of {self.counts} takes another method. Declare it with @router.get()."
        raise Failure(
            sent=f"GET {self.counts}",
            got=got,
            expect="status 200 and the counts as JSON",
            likely=likely,
            broken=response.status_code == 500,
        )


class Listener:
    """A client that receives announcements, and ignores only those about rooms of other checks.

    Args:
        place: the rooms.
        client: the client that's connected.
        rooms: the rooms that its check uses.
    """

    def __init__(self, place: Chat, client: Client, *rooms: str) -> None:
        self.place = place
        self.client = client
        self.client.ignored = Elsewhere(rooms)

    def also(self, room: str) -> None:
        """Expect announcements about this room too."""
        self.client.ignored = Elsewhere({room, *getattr(self.client.ignored, "own", ())})

    async def gets(self, event: str, room: str, name: str, *, after: str, likely: Likely) -> None:
        """Check that the next announcement is this one.

        Args:
            event: `joined` or `left`.
            room: the member's room.
            name: the member's name.
            after: the action that is announced.
            likely: the likely mistake; `silence` applies only if other announcements are received.

        Raises:
            Failure: another message is received, or none.
        """
        await self.gets_all([announcement(event, room, name)], after=after, likely=likely)

    async def gets_all(self, expected: Sequence[dict[str, str]], *, after: str, likely: Likely) -> None:
        """Check that the next announcements are these, in this order; see `gets`."""
        self.client.earlier, self.client.did = self.client.did, after
        try:
            if len(expected) == 1:
                await self.client.gets(expected[0], likely=likely)
            else:
                await self.client.gets_all(expected, likely=likely)
        except Failure as failure:
            if failure.got.startswith("no answer") and "received" not in failure.got:
                failure.likely = await self._why_silent() or failure.likely
            elif '"type"' in (more := failure.got.partition("one message more: ")[2]):
                if '"joined"' not in more and '"left"' not in more:
                    failure.likely = SURPLUS
            elif failure.got.endswith(" first") and not await self.client.receives(expected[0]):
                # Use silence: the announcement is lost, not late.
                failure.likely = likely.silence
            raise

    async def gets_in_any_order(self, expected: Sequence[dict[str, str]], *, after: str, likely: Likely) -> None:
        """Check that the next announcements are these, in any order, but each member joins before it leaves.

        Args:
            expected: the announcements.
            after: the actions that are announced.
            likely: the likely mistake: `silence` if some are missing, `surplus` if one is received twice.

        Raises:
            Failure: announcements are missing, surplus, or in the wrong order.
        """
        client = self.client
        client.earlier, client.did = client.did, after
        keys = [show(each) for each in expected]
        missing = Counter(keys)
        place = 0
        joins = {show(each) for each in expected if each["type"] == "joined"}
        early: set[str] = set()
        for count in range(len(expected)):
            client.after = f"{count} of {len(expected)} announcements were received" if count else None
            while not missing[keys[place]]:
                place += 1
            frame = await client.next(expect=keys[place], likely=likely)
            value = parsed(frame)
            key = show(self._in_order(value) if isinstance(value, dict) else value)
            if missing[key] > 0:
                missing[key] -= 1
                join = show(value | {"type": "joined"}) if isinstance(value, dict) else key
                if key != join and join in joins and missing[join]:
                    early.add(join)
                continue
            twice = key in missing
            raise Failure(
                sent=after,
                after=client.after,
                got=f"{show(frame)}{' a second time' if twice else ''}",
                expect=keys[place],
                likely=(likely.surplus or ALREADY_SENT) if twice else likely.wrong or likely.silence,
            )
        client.after = None
        if early:
            join = min(early)
            got = f'"left" before {join}'
            raise Failure(sent=after, got=got, expect=f'{join}, and then "left"', likely=likely.order or ORDER)

    @staticmethod
    def _in_order(value: dict[str, Any]) -> dict[str, Any]:
        """Return an announcement with its keys in the order of `announcement`."""
        return {key: value[key] for key in ("type", "room", "name") if key in value} | value

    async def _why_silent(self) -> str | None:
        """Explain a missing announcement: BackgroundTasks has to send it, or no announcement is received at all."""
        facts = await facts_of(self.place.subject)
        if facts["background"]:
            functions = " and ".join(f"{each}()" for each in facts["background"])
            return (
                f"{functions} asks for BackgroundTasks, and FastAPI never runs them on a WebSocket route. Await the "
                "announcement in join and in leave."
            )
        room = self.place.name("look")
        async with self.place.named(room, "Look"):
            self.also(room)
            if not await self.client.receives(announcement("joined", room, "Look")):
                return NOT_ANNOUNCED
        return None

    async def has_nothing_more(self, *, likely: str = SURPLUS) -> None:
        """Check that no other message was received: let one more member join, then end the connection.

        Raises:
            Failure: another message was received.
        """
        room = self.place.name("last")
        self.also(room)
        async with self.place.named(room, "Zoe"):
            await self.gets(
                "joined",
                room,
                "Zoe",
                after=f"a handshake for the room {room} as Zoe",
                likely=Likely(silence="Announcements end after some time.", wrong=likely, surplus=likely),
            )
        self.client.earlier = "a handshake as Zoe, and a close frame"
        self.client.ignored = Elsewhere(self.client.ignored.own - {room})  # type: ignore[union-attr]
        await self.client.has_nothing_more(likely=likely)


class Crowd:
    """Many members that join a room and leave it again, with as little work for the judge as possible.

    Args:
        place: the rooms.
        room: the name of the room.
        size: the number of members.
    """

    def __init__(self, place: Chat, room: str, size: int = CROWD) -> None:
        self.place = place
        self.room = room
        self.names = [f"member {number}" for number in range(1, size + 1)]
        self._open: list[asyncio.StreamWriter] = []

    @property
    def announcements(self) -> list[dict[str, str]]:
        """The announcements that a listener receives, if all members join and leave."""
        return [announcement(event, self.room, name) for event in ("joined", "left") for name in self.names]

    async def join(self, count: int) -> None:
        """Connect `count` more members."""
        names = self.names[len(self._open) :][:count]
        for start in range(0, len(names), TOGETHER):
            group = names[start : start + TOGETHER]
            self._open += await asyncio.gather(*map(self._connect, group))

    async def _connect(self, name: str) -> asyncio.StreamWriter:
        host, port = self.place.subject.server.url.split("/")[2].split(":")
        path = self.place.path(self.room, name)
        lines = [f"GET {path} HTTP/1.1", f"Host: {host}:{port}", "Connection: Upgrade", "Upgrade: websocket"]
        lines += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
        lines += [f"{key}: {value}" for key, value in SHARED.items()]
        got = b""
        try:
            async with asyncio.timeout(2 * self.place.subject.patience):
                reader, writer = await asyncio.open_connection(host, int(port))
                writer.write("\r\n".join([*lines, "", ""]).encode())
                got = await reader.readuntil(b"\r\n\r\n")
        except (TimeoutError, OSError, EOFError, asyncio.IncompleteReadError):
            pass
        if b" 101 " not in got:
            raise Failure(
                sent=f"a handshake for {path}, next to many others",
                got=show(got.decode("latin-1").partition("\r\n")[0]) if got else "no answer",
                expect="the connection accepted",
                likely="The handshake waits for a slow listener. Call accept() before you announce the member.",
                broken=True,
            )
        return writer

    async def leave(self) -> None:
        """Send a close frame from each member, and end its connection."""
        close = frames.Frame(frames.Opcode.CLOSE, frames.Close(1000, "").serialize()).serialize(mask=True)
        for writer in self._open:
            writer.write(close)
            writer.close()
        await asyncio.sleep(0)

    def end(self) -> None:
        """Abort all connections."""
        for writer in self._open:
            writer.transport.abort()


async def pauses(place: Chat, stack: AsyncExitStack) -> None:
    """Check that a listener that pauses gets every announcement when it reads again.

    Args:
        place: the rooms of a server that runs `router_probe.py`.
        stack: the exit stack that ends the connections.

    Raises:
        Failure: an announcement is missing, surplus or in the wrong order.
    """
    room = place.name("crowd")
    client = await stack.enter_async_context(
        place.subject.client(listen("Narrow"), who="the slow one", small_buffers=True)
    )
    witness = await stack.enter_async_context(place.subject.client(listen("Linus"), who="another listener"))
    listeners = [Listener(place, client, room), Listener(place, witness, room)]
    client.stop_reading()
    crowd = Crowd(place, room)
    stack.callback(crowd.end)
    await crowd.join(CROWD // 3)
    await crowd.join(CROWD)
    start = time.monotonic()
    await crowd.leave()
    # Pause: the sends to this listener must wait for more than a second.
    await pause(max(0.0, start + PAUSE - time.monotonic()))
    client.read_again()
    lost = (
        "A listener that pauses loses announcements: your code limits the time of a send, a queue is full, or a "
        "listener is skipped while another send to it waits. Wait "
        "until the listener reads on."
    )
    order = "Announcements about one member overtake each other when a listener is slow. Send them one after another."
    closed = (
        "A listener that pauses is taken for a disconnected one. Don't close it, and don't limit the time of a send."
    )
    for listener, who in zip(listeners, ("the listener that paused", "another listener"), strict=True):
        await listener.gets_in_any_order(
            crowd.announcements,
            after=f"{CROWD} members joined and left while a listener read nothing for {PAUSE:g} s; read by {who}",
            likely=Likely(silence=lost, order=order, closed=closed),
        )
    for each in (client, witness):
        await each.has_nothing_more(likely=ALREADY_SENT)


async def opened(stack: AsyncExitStack, place: Chat, name: str, *own: str) -> Listener:
    return Listener(place, await stack.enter_async_context(place.subject.client(listen(name))), *own)


async def _held(probe: Subject, after: str, *, likely: str) -> None:
    await probe.eventually(
        "/judge-facts", lambda facts: facts["held"], after=after, expect="an announcement", likely=likely
    )


async def _release(probe: Subject) -> None:
    await probe.get("/judge-release", likely=HOLD_UP)


async def reaches_all(place: Chat, crowd: list[Listener]) -> None:
    """Check that all listeners get the announcements of one member."""
    room = place.name()
    for each in crowd:
        each.also(room)
    async with place.named(room, "Ada") as ada:
        await ada.leave()
    both = [announcement(event, room, "Ada") for event in ("joined", "left")]
    for each in crowd:
        likely = Likely(silence=BOUNDED, elsewhere=BOUNDED, order=ORDER, surplus=ALREADY_SENT)
        await each.gets_all(both, after=f"Ada joined and left, with {len(crowd)} listeners connected", likely=likely)


async def dies_in_mid_announcement(place: Chat, dying: Client, crowd: list[Listener], end: str) -> None:
    """Check the announcements if a listener ends during a send to it, and the member leaves meanwhile."""
    probe, room = place.subject, place.name()
    for each in crowd:
        each.also(room)
    async with place.named(room, "Ada") as ada:
        await _held(probe, "Ada joined", likely=BOUNDED)
        await (dying.send("a text") if end == "text" else getattr(dying, end)())
        await probe.stands_still(lambda: 0)
        if end == "finish":
            # Reset now: "left" may overtake "joined", whose send still waits.
            await ada.reset()
            await probe.stands_still(lambda: 0)
        await _release(probe)
        likely = Likely(silence=EACH_LISTENER, wrong=EACH_LISTENER, order=ORDER, surplus=ALREADY_SENT)
        after = "a listener disconnected in the middle of a send to it"
        if end == "text":
            after = "a listener sent a text in the middle of a send to it"
            causes = Likely(EACH_LISTENER)
            await dying.is_closed(1008, likely=causes, besides=anything)
        if end != "finish":
            await ada.send("hello")
            ada.did = f"a text, after {after}"
            await ada.gets("hello", likely=EACH_LISTENER)
            await ada.leave()
        both = [announcement(event, room, "Ada") for event in ("joined", "left")]
        for each in crowd:
            await each.gets_all(both, after=f"Ada joined, {after}, and Ada left", likely=likely)


async def leaves_in_mid_announcement(place: Chat, stack: AsyncExitStack) -> None:
    """Check the announcements if a listener leaves while the loop waits for another one, after the room has changed."""
    probe, room = place.subject, place.name()
    # The order matters: a listener that leaves, one that blocks the loop, and some that could be skipped.
    leaver, slow = await opened(stack, place, "Linus", room), await opened(stack, place, "After", room)
    last = [await opened(stack, place, f"Linus {number}", room) for number in range(1, 6)]
    likely = Likely(silence=COPY, wrong=COPY)
    async with place.named(room, "Ada") as ada:
        after = "Ada joined, while a send to a slow listener waits"
        await slow.gets("joined", room, "Ada", after=after, likely=Likely(COUNTED))
        await place.has({room: 1}, after=after, likely=COUNTED)
        await leaver.client.leave()
        await probe.stands_still(lambda: 0)
        await _release(probe)
        for each in last:
            after = "Ada joined, and a listener left while a send to another one waited"
            await each.gets("joined", room, "Ada", after=after, likely=likely)
        await ada.send("hello")
        await ada.gets("hello", likely=COPY)
    after = "Ada left, while a send to a slow listener waits"
    await slow.gets("left", room, "Ada", after=after, likely=Likely(COUNTED))
    await place.has({room: None}, after=after, likely=COUNTED)
    await _release(probe)
