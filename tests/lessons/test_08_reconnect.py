"""Step 08: what its notebook states about lost and doubled messages, verified on the running lesson."""

import pytest
from judge.members import message
from judge.rejoining import ack, back, say
from judge.subject import Subject
from workshop.course import find_step


@pytest.mark.anyio
class TestLesson:
    def test_begins_with_the_solution(self) -> None:
        """What the lesson does not need to change is the solution of step 07, word for word."""
        before, app = find_step(7).solution / "exercise", find_step(8).folder / "app"
        for name in ("connection", "members", "supervision"):
            texts = [(folder / f"{name}.py").read_text("utf-8").partition("\n")[2] for folder in (before, app)]
            assert texts[0] == texts[1], name

    async def test_loses(self, lesson: Subject) -> None:
        """Who comes back without a word misses what was said meanwhile; the ids show it."""
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

    async def test_doubles(self, lesson: Subject) -> None:
        """A message that is sent again without a key is passed on again."""
        async with back(lesson, "lab", "Grace") as grace:
            for number in (1, 2):
                async with back(lesson, "lab", "Ada") as ada:
                    await ada.send({"type": "message", "text": "pay 10"})
                    await ada.finish()
                for expected in ({"type": "joined", "name": "Ada"}, message(number, "Ada", "pay 10")):
                    await grace.gets(expected, likely="")
                await grace.gets({"type": "left", "name": "Ada"}, likely="")

    async def test_neither(self, lesson: Subject) -> None:
        """With a key and with after, nothing is doubled and nothing is lost."""
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

    async def test_swallows(self, lesson: Subject) -> None:
        """A key that another sender has used too swallows the message."""
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

    async def test_silent_hole(self, lesson: Subject) -> None:
        """An id that the server does not know is accepted, nothing is replayed, and ids below it come next."""
        async with back(lesson, "lab", "Ada") as ada:
            await say(ada, "a new day")
            async with back(lesson, "lab", "Grace", after=8) as grace:
                await grace.send("no JSON")
                await grace.gets_error(likely="")
                await ada.gets({"type": "joined", "name": "Grace"}, likely="")
                await say(ada, "good morning", first=2)
                await grace.gets(message(2, "Ada", "good morning"), likely="")

    async def test_page(self, lesson: Subject) -> None:
        """The browser page is served at /."""
        assert (await lesson.get("/", likely="")).headers["content-type"].startswith("text/html")
