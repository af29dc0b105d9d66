"""Step 05: what its notebook states about one slot for each name, verified on the running lesson."""

import pytest
from judge.members import BAD, joined, left, said
from judge.subject import Subject


@pytest.mark.anyio
class TestLesson:
    async def test_names(self, lesson: Subject) -> None:
        """Members hear who joins, who leaves and who says what; what cannot be read is answered with an error."""
        async with lesson.client("/ws/lobby?name=Ada") as ada, lesson.client("/ws/lobby?name=Grace") as grace:
            for notice in (joined("Ada"), joined("Grace")):
                await ada.gets(notice, likely="")
            await grace.gets(joined("Grace"), likely="")
            await grace.send({"type": "message", "text": "hello", "from": "Linus"})
            for member in (ada, grace):
                await member.gets(said("Grace", "hello"), likely="")
            for frame in BAD:
                await ada.send(frame)
                await ada.gets_error(likely="")
            await grace.leave()
            await ada.gets(left("Grace"), likely="")
        assert await lesson.handshake("/ws/lobby") == 403
        assert await lesson.handshake(f"/ws/lobby?name={'x' * 21}") == 403
        assert "Traceback" not in await lesson.settle()

    async def test_one_slot(self, lesson: Subject) -> None:
        """The second tab takes the slot; the end of the first tab deletes it; the second tab's end is an error."""
        async with lesson.client("/ws/lobby?name=Grace") as grace:
            await grace.gets(joined("Grace"), likely="")
            async with lesson.client("/ws/lobby?name=Ada") as first:
                await first.gets(joined("Ada"), likely="")
                async with lesson.client("/ws/lobby?name=Ada") as second:
                    await second.gets(joined("Ada"), likely="")
                    # The first tab heard nothing of that: it is out of the room, and does not know.
                    await grace.send({"type": "message", "text": "one"})
                    await second.gets(said("Grace", "one"), likely="")
                    await first.leave()
                    for message in (joined("Ada"), joined("Ada"), said("Grace", "one"), left("Ada")):
                        await grace.gets(message, likely="")
                    # Now the second tab is out too, though its connection is open.
                    await grace.send({"type": "message", "text": "two"})
                    await grace.gets(said("Grace", "two"), likely="")
                    await second.send({"type": "message", "text": "am I here?"})
                    await grace.gets(said("Ada", "am I here?"), likely="")
                    await second.leave()
        assert "KeyError: 'Ada'" in await lesson.settle()

    async def test_page(self, lesson: Subject) -> None:
        """The browser page is served at /."""
        assert (await lesson.get("/", likely="")).headers["content-type"].startswith("text/html")
