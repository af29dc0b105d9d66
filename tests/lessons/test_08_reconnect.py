"""Step 08: verify what its notebook states about lost and duplicated messages, on the running lesson."""

import pytest
from harness.guesses import assert_right
from judge.members import message
from judge.rejoining import ack, back, say
from judge.subject import Subject
from workshop.course import find_step


@pytest.mark.anyio
class TestLesson:
    def test_begins_with_the_solution(self) -> None:
        """The lesson has the files of step 07's solution that it doesn't change, byte for byte."""
        before, app = find_step(7).solution / "exercise", find_step(8).folder / "app"
        for name in ("connection.py", "members.py", "supervision.py"):
            assert (app / name).read_bytes() == (before / name).read_bytes(), name

    async def test_replays_and_acknowledges(self, lesson: Subject) -> None:
        """A client gets the messages after its resume offset, and only the sender gets the ack."""
        async with back(lesson, "lobby", "Ada") as ada, back(lesson, "lobby", "Grace") as grace:
            await ada.gets({"type": "joined", "name": "Grace"}, likely="")
            await say(ada, "hello")
            await ada.send({"type": "message", "text": "good morning", "key": "k1"})
            for expected in (message(2, "Ada", "good morning"), ack("k1", 2)):
                await ada.gets(expected, likely="")
            await grace.send("no JSON")
            for expected in (message(1, "Ada", "hello"), message(2, "Ada", "good morning")):
                await grace.gets(expected, likely="")
            await grace.gets_error(likely="")
        async with back(lesson, "lobby", "Linus", after=1) as linus:
            await linus.gets(message(2, "Ada", "good morning"), likely="")

    async def test_loses(self, lesson: Subject) -> None:
        """A client that rejoins without after= misses the messages sent meanwhile; only the ids show it."""
        async with back(lesson, "lab", "Ada") as ada:
            async with back(lesson, "lab", "Grace") as grace:
                await ada.gets({"type": "joined", "name": "Grace"}, likely="")
                await say(ada, "one")
                await grace.gets(message(1, "Ada", "one"), likely="")
                await grace.finish()
            await ada.gets({"type": "left", "name": "Grace"}, likely="")
            await say(ada, "two", "three", first=2)
            async with back(lesson, "lab", "Grace") as grace:
                await ada.gets({"type": "joined", "name": "Grace"}, likely="")
                await say(ada, "four", first=4)
                await grace.gets(message(4, "Ada", "four"), likely="")

    async def test_duplicates(self, lesson: Subject) -> None:
        """The server broadcasts a message again if its client sends it again without a key."""
        async with back(lesson, "lab", "Grace") as grace:
            for number in (1, 2):
                async with back(lesson, "lab", "Ada") as ada:
                    await ada.send({"type": "message", "text": "pay 10"})
                    await ada.finish()
                for expected in ({"type": "joined", "name": "Ada"}, message(number, "Ada", "pay 10")):
                    await grace.gets(expected, likely="")
                await grace.gets({"type": "left", "name": "Ada"}, likely="")

    async def test_copies(self, lesson: Subject) -> None:
        """A message that's sent again arrives twice without a key, and once with the same key."""
        copies = []
        async with back(lesson, "lab", "Grace") as grace:
            for key in ({}, {"key": "k20"}):
                for _ in range(2):
                    async with back(lesson, "lab", "Ada") as ada:
                        await ada.send({"type": "message", "text": "pay"} | key)
                        await ada.finish()
                async with back(lesson, "lab", "Linus") as linus:
                    await linus.send({"type": "message", "text": "done"})
                    await linus.finish()
                received = [await grace.next_object(expect="", likely="")]
                while received[-1].get("text") != "done":
                    received.append(await grace.next_object(expect="", likely=""))
                copies.append(sum(item.get("text") == "pay" for item in received))
        assert_right("08.1", f"{copies[0]} without a key, {copies[1]} with it")

    async def test_neither(self, lesson: Subject) -> None:
        """With a key and with after=, no message is lost or duplicated."""
        async with back(lesson, "lab", "Grace") as grace:
            async with back(lesson, "lab", "Ada") as ada:
                await ada.send({"type": "message", "text": "pay 20", "key": "k"})
                await ada.finish()
            for expected in ({"type": "joined", "name": "Ada"}, message(1, "Ada", "pay 20")):
                await grace.gets(expected, likely="")
            await grace.finish()
        async with back(lesson, "lab", "Ada") as ada:
            await ada.send({"type": "message", "text": "pay 20", "key": "k"})
            await ada.gets(ack("k", 1), likely="")
            await say(ada, "done", first=2)
        async with back(lesson, "lab", "Grace", after=1) as grace:
            await grace.gets(message(2, "Ada", "done"), likely="")
            await grace.send("no JSON")
            await grace.gets_error(likely="")

    async def test_same_key(self, lesson: Subject) -> None:
        """If two members choose the same key, the second message is acknowledged, and isn't broadcast."""
        async with back(lesson, "lab", "Ada") as ada, back(lesson, "lab", "Linus") as linus:
            await ada.gets({"type": "joined", "name": "Linus"}, likely="")
            await ada.send({"type": "message", "text": "from Ada", "key": "1"})
            for tab in (ada, linus):
                await tab.gets(message(1, "Ada", "from Ada"), likely="")
            await ada.gets(ack("1", 1), likely="")
            await linus.send({"type": "message", "text": "from Linus", "key": "1"})
            await linus.gets(ack("1", 1), likely="")
            await ada.send("no JSON")
            await ada.gets_error(likely="")

    async def test_undetected_gap(self, lesson: Subject) -> None:
        """A new server accepts an id that it hasn't assigned, replays nothing, and sends smaller ids next."""
        async with back(lesson, "lab", "Ada") as ada:
            await say(ada, "a new day")
            async with back(lesson, "lab", "Grace", after=9) as grace:
                await grace.send("no JSON")
                await grace.gets_error(likely="")
                await ada.gets({"type": "joined", "name": "Grace"}, likely="")
                await say(ada, "good morning", first=2)
                first = await grace.next_object(expect="", likely="")
                assert first == message(2, "Ada", "good morning")
                assert_right("08.2", first["id"])

    async def test_kill(self, lesson: Subject) -> None:
        """After a kill, an acknowledged message is lost, and the same key is accepted as a new message."""
        pay = {"type": "message", "text": "pay 30", "key": "k30"}
        received = []
        async with lesson.another() as own, back(own, "lab", "Grace") as grace, back(own, "lab", "Ada") as ada:
            await say(ada, "one", "two")
            await ada.send(pay)
            for expected in (message(3, "Ada", "pay 30"), ack("k30", 3)):
                await ada.gets(expected, likely="")
            received += [await grace.next_object(expect="", likely="") for _ in range(4)]
            own.server.kill()
        async with (
            lesson.another() as own,
            back(own, "lab", "Grace", after=0) as grace,
            back(own, "lab", "Ada") as ada,
        ):
            await ada.send(pay)
            for expected in ({"type": "joined", "name": "Ada"}, message(1, "Ada", "pay 30")):
                received.append(await grace.next_object(expect="", likely=""))
                assert received[-1] == expected
        assert_right("08.3", sum(item.get("text") == "pay 30" for item in received))

    async def test_page(self, lesson: Subject) -> None:
        """The browser page is served at /."""
        assert (await lesson.get("/", likely="")).headers["content-type"].startswith("text/html")
