"""Step 04: the checks of the exercise."""

import asyncio
import contextlib
import time
from urllib.parse import quote

from judge import rooms
from judge.clients import Client
from judge.messages import parsed, show
from judge.model import Failure, check
from judge.subject import Subject

CHAT = "/api/chat/ws/{room}?name=Ada"
LISTEN = "/api/chat/ws/announcements?name=Linus"
COUNTS = "/api/lobby/rooms"
NAMES = ("A", "Ada Lovelace", "x" * 20, "한" * 20)
NO_NAMES = ("", "?name=", f"?name={'x' * 21}", f"?name={quote('한' * 21)}", "?nickname=Ada")


def room_place(subject: Subject) -> rooms.Rooms:
    """The rooms, where step 04 wants them."""
    return rooms.Rooms(subject, CHAT, COUNTS)


async def facts_of(subject: Subject) -> dict[str, object]:
    """What the answer is made of: see judge/router_probe.py."""
    probe = await subject.probe("router_probe")
    return await probe.get_json("/judge-facts", likely="the answer does not run beside the judge's own routes")


class Listener:
    """Reads announcements, and takes out those of the rooms that other checks use."""

    def __init__(self, client: Client, room: str) -> None:
        self.client = client
        self.room = room

    async def hears(self, event: str, name: str, *, after: str, likely: str, silence: str | None = None) -> None:
        """The next announcement about the room is this one.

        Args:
            event: `joined` or `left`.
            name: whose.
            after: what happened before.
            likely: the mistake, if another one comes.
            silence: the mistake, if none comes; by default the same.

        Raises:
            Failure: it is another one, or none comes.
        """
        expected = {"type": event, "room": self.room, "name": name}
        self.client.did = after
        deadline = time.monotonic() + 2 * self.client.patience
        while True:
            frame = await self.client.next(expect=show(expected), likely=silence or likely)
            heard = parsed(frame) if isinstance(frame, str) else None
            if heard == expected:
                return
            elsewhere = isinstance(heard, dict) and heard.get("room") not in (self.room, "announcements", None)
            if time.monotonic() > deadline:
                likely = "announcements without end, of rooms that nobody is in"
                raise Failure(after=after, got=show(frame), expect=show(expected), likely=likely)
            if not (elsewhere and heard.keys() == expected.keys() and heard["type"] in ("joined", "left")):
                if not isinstance(heard, dict) or heard.keys() != expected.keys():
                    likely = "an announcement is one JSON object with type, room and name and no more: use send_json()"
                raise Failure(after=after, got=show(frame), expect=show(expected), likely=likely)


class TestExercise:
    @check(1, "is two routers that main.py includes")
    async def test_routers(self, subject: Subject) -> None:
        root = await subject.get_json(
            "/", likely="GET / asks for something: a dependency belongs to one router, not to the app"
        )
        if root != {"message": "Hello World"}:
            likely = "GET / answers something else than before"
            raise Failure(sent="GET /", got=show(root), expect='{"message": "Hello World"}', likely=likely)
        facts = await facts_of(subject)
        for name in ("chat", "lobby"):
            expect = f"exercise.{name}.router is an APIRouter, and exercise/main.py includes it"
            if problem := facts[name]:
                likely = (
                    f"make the file exercise/{name}.py with router = APIRouter() in it, and its routes on that router"
                )
                raise Failure(got=str(problem), expect=expect, likely=likely)
            if facts["probe_socket" if name == "chat" else "probe_lobby"] is None:
                likely = f"main.py lacks app.include_router({name}.router)"
                raise Failure(
                    got=f"a route on exercise.{name}.router is not part of the app", expect=expect, likely=likely
                )
        if facts["in_main"]:
            raise Failure(
                got=f"the app itself has {', '.join(map(str, facts['in_main']))} too",
                expect="exercise/main.py defines GET / and no other route",
                likely="a route was copied to its module but not taken out of main.py",
            )

    @check(2, "passes texts on at /api/chat/ws/{room_id}")
    async def test_broadcast(self, subject: Subject) -> None:
        await rooms.reaches_the_room(room_place(subject))

    @check(2, "loses no message to a member that vanishes")
    async def test_vanished(self, subject: Subject) -> None:
        await rooms.survives_disconnects(room_place(subject))

    @check(2, "closes the sender of a binary frame, and nobody else, with 1003")
    async def test_binary(self, subject: Subject) -> None:
        await rooms.refuses_binary(room_place(subject))

    @check(3, "counts the members at /api/lobby/rooms, and only there")
    async def test_counts(self, subject: Subject) -> None:
        place = room_place(subject)
        room = place.name()
        async with place.member(room):
            likely = "each module has rooms of its own: put them into a module that both import"
            await place.has({room: 1}, after=f"a handshake for {room}", likely=likely)
        await rooms.counts_members(place)
        old = await subject.get("/rooms", likely="GET /rooms is still there")
        if old.status_code != 404:
            likely = "the old route was kept: a path without the prefix of its router"
            raise Failure(sent="GET /rooms", got=f"status {old.status_code}", expect="status 404", likely=likely)

    @check(3, "skips nobody when a member leaves in mid-broadcast")
    async def test_skip(self, subject: Subject) -> None:
        await rooms.skips_no_member(room_place(subject))
        await rooms.sender_may_leave(room_place(subject))

    @check(3, "forgets a member however its connection ended")
    async def test_gone(self, subject: Subject) -> None:
        await rooms.forgets_the_disconnected(room_place(subject))

    @check(4, "asks every socket for a name, by a dependency on the router")
    async def test_names(self, subject: Subject) -> None:
        room = room_place(subject).name()
        await self._asks_for_a_name(
            subject, f"/api/chat/ws/{room}", likely="nothing asks for name, or not for 1 to 20 characters"
        )
        likely = "this socket does not ask for a name: put the dependency on the router"
        await self._asks_for_a_name(subject, "/api/chat/ws/announcements", likely=likely)
        facts = await facts_of(subject)
        likely = "the dependency is on single routes: give the router dependencies=[Depends(...)]"
        await self._asks_for_a_name(await subject.probe("router_probe"), str(facts["probe_socket"]), likely=likely)

    @staticmethod
    async def _asks_for_a_name(subject: Subject, path: str, *, likely: str) -> None:
        for query in NO_NAMES:
            answer = await subject.handshake(path + query)
            if answer != 403:
                if not isinstance(answer, int):
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(1):
                            await answer.wait_closed()
                    # 1006 is how the judge's own socket ends, which returns after accept.
                    if answer.close_code not in (None, 1006):
                        likely = "the socket is accepted and then closed: refuse it before accept, in the dependency"
                    await answer.close()
                got = f"HTTP {answer}" if isinstance(answer, int) else "the socket accepted"
                raise Failure(sent=f"a handshake for {path}{query}", got=got, expect="HTTP 403", likely=likely)
        async with subject.client(f"{path}?name={quote(NAMES[0])}"):
            pass
        for name in NAMES[1:]:
            answer = await subject.handshake(f"{path}?name={quote(name)}")
            if isinstance(answer, int):
                raise Failure(
                    sent=f"a handshake for {path}?name={name}",
                    got=f"HTTP {answer}",
                    expect="the socket accepted",
                    likely="a name may have 1 to 20 characters: count characters, not bytes",
                )
            await answer.close()

    @check(5, "announces who joined and who left")
    async def test_announcements(self, subject: Subject) -> None:
        place = room_place(subject)
        room = place.name("lab 한글")
        path = f"/api/chat/ws/{quote(room)}"
        joined = "a member is announced after it joined, once, with its room and its name"
        left = "a member is announced as left exactly once, however it went"
        counted = "the announcement comes before the room has changed: change the room first"
        nobody = "a listener or a refused visitor is announced too, or taken for a member"
        late = "a listener hears of what happens from then on, and not of what was before"
        silence = "not every listener is told: keep them all in a set, and send to each of them"
        member = "a listener is taken for a member: declare /ws/announcements first, and keep it out of the rooms"
        async with subject.client(LISTEN) as linus, subject.client(LISTEN):
            listener = Listener(linus, room)
            await place.has({"announcements": None}, after="two handshakes for /ws/announcements", likely=member)
            for query in NO_NAMES[:3]:
                await subject.handshake(f"{path}{query}")
            async with subject.client(f"{path}?name=Grace") as grace:
                await listener.hears(
                    "joined",
                    "Grace",
                    after="two listeners, three refused visitors and Grace",
                    likely=nobody,
                    silence=silence,
                )
                await place.has({room: 1}, after="Grace was announced", likely=counted)
                for end in (*rooms.ENDS, "binary"):
                    async with subject.client(f"{path}?name=Ada") as ada:
                        await listener.hears("joined", "Ada", after="Ada joined", likely=joined)
                        await place.has({room: 2}, after="Ada was announced", likely=counted)
                        await (ada.send(b"\x00") if end == "binary" else getattr(ada, end)())
                        await listener.hears("left", "Ada", after=f"Ada ended with {ada.did}", likely=left)
                        await place.has({room: 1}, after="Ada was announced as gone", likely=counted)
                async with subject.client(f"{path}?name=Ada", narrow=True) as ada:
                    await listener.hears("joined", "Ada", after="Ada joined", likely=joined)
                    ada.stop_reading()
                    flood = await place.flood(grace, {"the sender": grace})
                    await ada.reset()
                    await listener.hears(
                        "left", "Ada", after="Ada vanished in the middle of a send to her", likely=left
                    )
                    await flood.arrives(after="Ada vanished in the middle of a send to her", likely=left)
                async with subject.client(LISTEN) as later:
                    await grace.leave()
                    await Listener(later, room).hears(
                        "left", "Grace", after="a listener came when Grace was there, and Grace left", likely=late
                    )
            await listener.hears("left", "Grace", after="Grace left", likely=left)

    @check(5, "closes a listener that sends anything, with 1008")
    async def test_listeners(self, subject: Subject) -> None:
        place = room_place(subject)
        room = place.name()
        likely = "Only some messages close a listener. Read with receive(), and close whatever was received."

        def elsewhere(frame: str | bytes) -> bool:
            announced = parsed(frame)
            return isinstance(announced, dict) and announced.get("room", room) != room

        async with subject.client(LISTEN) as linus:
            listener = Listener(linus, room)
            for frame in ("hello", "", b"\x00\x01", b""):
                async with subject.client(LISTEN) as talker:
                    await talker.send(frame)
                    await talker.is_closed(1008, likely=likely, besides=elsewhere)
            for end in rooms.ENDS:
                async with subject.client(LISTEN) as gone:
                    await getattr(gone, end)()
            likely = "a listener that is gone stays in the set, and sending to it fails"
            async with subject.client(f"/api/chat/ws/{room}?name=Ada") as ada:
                await listener.hears("joined", "Ada", after="other listeners vanished, and Ada joined", likely=likely)
                await ada.send("hello")
                await ada.gets("hello", likely=likely)

    @check(5, "announces what is true already, and bears slow and dead listeners")
    async def test_slow_listeners(self, subject: Subject) -> None:
        # In this server a send to a listener named Before or After waits on that side of it until it is released.
        probe = await subject.probe("router_probe")
        place = room_place(probe)
        room = place.name()
        counted = "the announcement comes before the room has changed: change the room first"
        living = "the loop runs over the living listeners, and one of them left: loop over a copy"
        uncaught = (
            "a send to a listener that is gone raises in the endpoint of whoever joins: catch it around that send"
        )

        async def held(after: str) -> None:
            await probe.becomes(
                "/judge-facts", lambda facts: facts["held"], after=after, expect="an announcement", likely=counted
            )

        async def release() -> None:
            await probe.get("/judge-release", likely="something blocks the event loop")

        async with contextlib.AsyncExitStack() as stack:

            async def listen(name: str) -> Client:
                return await stack.enter_async_context(probe.client(f"/api/chat/ws/announcements?name={name}"))

            witness = Listener(await listen("Linus"), room)
            dying = await listen("Before")
            async with place.member(room) as ada:
                await held("Ada joined")
                await dying.reset()
                await probe.stands_still(lambda: 0)
                await release()
                await ada.send("hello")
                ada.did = "a text, after a listener vanished in the middle of a send to it"
                await ada.gets("hello", likely=uncaught)
            # What comes next must not mix with what is still being told.
            await witness.hears("joined", "Ada", after="Ada joined, and another listener vanished", likely=uncaught)
            await witness.hears("left", "Ada", after="Ada left", likely=uncaught)
            room = place.name()
            # The order matters: one that leaves, one that holds the loop up, and one that could be skipped.
            leaver, slow, last = await listen("Linus"), await listen("After"), await listen("Linus")
            async with place.member(room) as ada:
                after = "Ada joined, while a send to a slow listener waits"
                await Listener(slow, room).hears("joined", "Ada", after=after, likely=counted)
                await place.has({room: 1}, after=after, likely=counted)
                await leaver.leave()
                await probe.stands_still(lambda: 0)
                await release()
                after = "a listener left while another one was being told"
                await Listener(last, room).hears("joined", "Ada", after=after, likely=living)
                await ada.send("hello")
                await ada.gets("hello", likely=living)
            after = "Ada left, while a send to a slow listener waits"
            await Listener(slow, room).hears("left", "Ada", after=after, likely=counted)
            await place.has({room: None}, after=after, likely=counted)
            await release()
