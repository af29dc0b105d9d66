"""Step 04: what the notebook says of the package, and the checks of the exercise."""

import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from judge import rooms
from judge.clients import Client, parsed, show
from judge.model import Failure, check
from judge.subject import Subject
from workshop.course import find_step
from workshop.server import Server, StartupError

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

    async def hears(self, event: str, name: str, *, after: str, likely: str) -> None:
        """The next announcement about the room is this one.

        Raises:
            Failure: it is another one, or none comes.
        """
        expected = {"type": event, "room": self.room, "name": name}
        self.client.did = after
        while True:
            frame = await self.client.next(expect=show(expected), likely=likely)
            heard = parsed(frame) if isinstance(frame, str) else None
            if heard == expected:
                return
            elsewhere = isinstance(heard, dict) and heard.get("room") not in (self.room, "announcements", None)
            if not (elsewhere and heard.keys() == expected.keys() and heard["type"] in ("joined", "left")):
                raise Failure(after=after, got=show(frame), expect=show(expected), likely=likely)


@pytest.mark.anyio
class TestLesson:
    async def test_rooms(self, lesson: Subject) -> None:
        """The rooms of the module survive their members, at the router's prefix."""
        place = rooms.Rooms(lesson, "/chat/ws/{room}", "/chat/rooms")
        await rooms.reaches_the_room(place)
        await rooms.survives_the_vanished(place)
        await rooms.forgets_the_gone(place)
        assert "Traceback" not in await lesson.settle()

    async def test_page(self, lesson: Subject) -> None:
        """The browser page is served at /."""
        assert (await lesson.get("/", likely="")).headers["content-type"].startswith("text/html")

    @pytest.mark.parametrize("path", ["/ws/lobby", "/chat/chat/ws/lobby", "/chat/ws/lobby/"])
    async def test_wrong_prefix(self, lesson: Subject, path: str) -> None:
        """A path without the prefix, with two of them, or with a slash too many is refused with 403."""
        assert await lesson.handshake(path) == 403

    def test_module_for_router(self, tmp_path: Path) -> None:
        """Including the module instead of its router ends uvicorn, with a message that names neither."""
        shutil.copytree(find_step(4).folder / "app", tmp_path / "app")
        main = tmp_path / "app" / "main.py"
        source = main.read_text("utf-8")
        assert "include_router(chat.router)" in source
        main.write_text(source.replace("include_router(chat.router)", "include_router(chat)"), "utf-8")
        with pytest.raises(StartupError, match="module 'app.chat' has no attribute '_contains_router'"):
            Server("app.main:app", tmp_path).wait_until_ready()

    def test_file_as_script(self) -> None:
        """A file of a package that is run by its path cannot import with a dot."""
        command = [sys.executable, str(find_step(4).folder / "app" / "main.py")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert "ImportError: attempted relative import with no known parent package" in done.stderr


class TestExercise:
    @check(1, "is two routers that main.py includes")
    async def test_routers(self, subject: Subject) -> None:
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
        root = await subject.get_json("/", likely="GET / has gone from main.py")
        if root != {"message": "Hello World"}:
            likely = "GET / answers something else than before"
            raise Failure(sent="GET /", got=show(root), expect='{"message": "Hello World"}', likely=likely)

    @check(2, "passes texts on at /api/chat/ws/{room_id}")
    async def test_broadcast(self, subject: Subject) -> None:
        await rooms.reaches_the_room(room_place(subject))

    @check(2, "loses no message to a member that vanishes")
    async def test_vanished(self, subject: Subject) -> None:
        await rooms.survives_the_vanished(room_place(subject))

    @check(2, "closes the sender of a binary frame, and nobody else, with 1003")
    async def test_binary(self, subject: Subject) -> None:
        await rooms.refuses_binary(room_place(subject))

    @check(3, "counts the members at /api/lobby/rooms, and only there")
    async def test_counts(self, subject: Subject) -> None:
        await rooms.counts_members(room_place(subject))
        old = await subject.get("/rooms", likely="GET /rooms is still there")
        if old.status_code != 404:
            likely = "the old route was kept: a path without the prefix of its router"
            raise Failure(sent="GET /rooms", got=f"status {old.status_code}", expect="status 404", likely=likely)

    @check(3, "skips nobody when a member leaves in mid-broadcast")
    async def test_skip(self, subject: Subject) -> None:
        await rooms.skips_nobody(room_place(subject))
        await rooms.sender_may_leave(room_place(subject))

    @check(3, "forgets a member however its connection ended")
    async def test_gone(self, subject: Subject) -> None:
        await rooms.forgets_the_gone(room_place(subject))

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
                    await answer.close()
                got = f"HTTP {answer}" if isinstance(answer, int) else "the socket accepted"
                raise Failure(sent=f"a handshake for {path}{query}", got=got, expect="HTTP 403", likely=likely)
        for name in NAMES:
            async with subject.client(f"{path}?name={quote(name)}"):
                pass

    @check(5, "announces who joined and who left")
    async def test_announcements(self, subject: Subject) -> None:
        place = room_place(subject)
        room = place.name()
        joined = "a member is announced after it joined, once, with its room and its name"
        left = "a member is announced as left exactly once, however it went"
        counted = "the announcement comes before the room has changed: change the room first"
        nobody = "a listener or a refused visitor is announced too, or taken for a member"
        async with subject.client(LISTEN) as linus, subject.client(LISTEN):
            listener = Listener(linus, room)
            for query in NO_NAMES[:3]:
                await subject.handshake(f"/api/chat/ws/{room}{query}")
            async with subject.client(f"/api/chat/ws/{room}?name=Grace") as grace:
                await listener.hears(
                    "joined", "Grace", after="two listeners, three refused visitors and Grace", likely=nobody
                )
                await place.has({room: 1, "announcements": None}, after="Grace was announced", likely=counted)
                for end in (*rooms.ENDS, "binary"):
                    async with subject.client(f"/api/chat/ws/{room}?name=Ada") as ada:
                        await listener.hears("joined", "Ada", after="Ada joined", likely=joined)
                        await place.has({room: 2}, after="Ada was announced", likely=counted)
                        await (ada.send(b"\x00") if end == "binary" else getattr(ada, end)())
                        await listener.hears("left", "Ada", after=f"Ada ended with {ada.did}", likely=left)
                        await place.has({room: 1}, after="Ada was announced as gone", likely=counted)
                async with subject.client(f"/api/chat/ws/{room}?name=Ada", narrow=True) as ada:
                    await listener.hears("joined", "Ada", after="Ada joined", likely=joined)
                    ada.stop_reading()
                    flood = await place.flood(grace, {"the sender": grace})
                    await ada.reset()
                    await listener.hears(
                        "left", "Ada", after="Ada vanished in the middle of a send to her", likely=left
                    )
                    await flood.arrives(after="Ada vanished in the middle of a send to her", likely=left)
            await listener.hears("left", "Grace", after="Grace left", likely=left)

    @check(5, "closes a listener that sends anything, with 1008")
    async def test_listeners(self, subject: Subject) -> None:
        place = room_place(subject)
        room = place.name()
        likely = "only some frames close a listener: read with receive(), and close whatever was received"
        async with subject.client(LISTEN) as linus:
            listener = Listener(linus, room)
            for frame in ("hello", "", b"\x00\x01", b""):
                async with subject.client(LISTEN) as talker:
                    await talker.send(frame)
                    await talker.is_closed(1008, likely=likely)
            for end in rooms.ENDS:
                async with subject.client(LISTEN) as gone:
                    await getattr(gone, end)()
            likely = "a listener that is gone stays in the set, and sending to it fails"
            async with subject.client(f"/api/chat/ws/{room}?name=Ada") as ada:
                await listener.hears("joined", "Ada", after="other listeners vanished, and Ada joined", likely=likely)
                await ada.send("hello")
                await ada.gets("hello", likely=likely)
