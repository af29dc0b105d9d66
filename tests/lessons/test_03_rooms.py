"""Step 03: what its notebook states about the naive rooms, verified on the running lesson."""

import pytest
from harness.guesses import assert_right
from judge import rooms
from judge.clients import anything
from judge.flood import MANY
from judge.model import Failure
from judge.subject import Subject

MANY_SHORT = 100


@pytest.mark.anyio
class TestLesson:
    async def test_broadcast(self, lesson: Subject) -> None:
        """A text message reaches all members of its room, and no other client: so far, the naive loop works."""
        await rooms.reaches_the_room(rooms.Rooms(lesson))

    async def test_page(self, lesson: Subject) -> None:
        """The browser page is served at /."""
        assert (await lesson.get("/", likely="")).headers["content-type"].startswith("text/html")

    async def test_binary_frame(self, lesson: Subject) -> None:
        """A binary message ends its sender's endpoint with a traceback, and the connection without a close frame."""
        async with lesson.client("/ws/lobby") as ada:
            await ada.send(b"\x00\x01")
            await ada.is_closed(1006, likely="", besides=anything)
        assert "KeyError: 'text'" in await lesson.settle()

    async def test_empty_rooms(self, lesson: Subject) -> None:
        """An empty room stays in the list of rooms."""
        async with lesson.client("/ws/lab"):
            assert await lesson.get_json("/rooms", likely="") == {"lab": 1}
        await lesson.eventually("/rooms", {"lab": 0}.__eq__, after="", expect="", likely="")

    async def test_one_stops_reading(self, lesson: Subject) -> None:
        """A member that stops reading blocks the room until it reads again. Short messages don't show it."""
        place = rooms.Rooms(lesson)
        async with (
            place.member("lobby") as ada,
            place.member("lobby", small_buffers=True) as linus,
            place.member("lobby") as grace,
        ):
            linus.stop_reading()
            for _ in range(MANY_SHORT):
                await ada.send("short")
                await grace.gets("short", likely="")
                await ada.gets("short", likely="")
            flood = await place.flood(ada, {"Ada": ada, "Grace": grace})
            _, ada_has, grace_has = flood.progress()
            assert grace_has < ada_has < MANY
            assert ada_has == grace_has + 1
            assert_right("03.1", grace_has)
            linus.read_again()
            for _ in range(MANY_SHORT):
                await linus.gets("short", likely="")
            flood.join("Linus", linus)
            await flood.arrives(after="", likely="")

    async def test_one_dies(self, lesson: Subject) -> None:
        """A member that disconnects during a broadcast ends the sender's connection, and others miss the message."""
        place = rooms.Rooms(lesson)
        async with (
            place.member("lobby") as ada,
            place.member("lobby", small_buffers=True) as linus,
            place.member("lobby") as grace,
        ):
            linus.stop_reading()
            flood = await place.flood(ada, {"Ada": ada, "Grace": grace})
            await linus.reset()
            await ada.is_gone()
            _, ada_has, grace_has = flood.progress()
            assert ada_has == grace_has + 1
            assert ada.connection.close_code == 1006
            assert grace.connection.close_code is None
            codes = [ada.connection.close_code, grace.connection.close_code]
            assert_right("03.2", " and ".join("closed" if code else "open" for code in codes))
        assert "Traceback" not in await lesson.settle()

    async def test_one_leaves(self, lesson: Subject) -> None:
        """If a member leaves during a broadcast, the loop skips another member."""
        place = rooms.Rooms(lesson)
        async with (
            place.member("lab") as grace,
            place.member("lab", small_buffers=True) as linus,
            place.member("lab") as ada,
        ):
            linus.stop_reading()
            flood = await place.flood(ada, {"Grace": grace, "Ada": ada})
            await grace.leave()
            flood.forget("Grace")
            await place.eventually_has({"lab": 2}, after="", likely="")
            flood.join("Linus", linus)
            with pytest.raises(Failure, match=f"Ada received {MANY - 1} of {MANY}, 1 missing"):
                await flood.arrives(after="", likely="")
            assert_right("03.3", len(set(flood.texts) - set(flood.got["Ada"])))
