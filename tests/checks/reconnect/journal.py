"""Step 08, TODO 3: a journal that survives a kill."""

import tempfile
from pathlib import Path

from judge.members import Members, message
from judge.model import Failure, check
from judge.rejoining import ack, back, both, numbers, replayed, say
from judge.subject import Subject

WRITTEN = (
    "a message is passed on or acknowledged before it is in the file: write it first, and do not leave it in a buffer"
)


class Journal:
    @check(3, "goes on after a kill: ids, the last 100, and keys")
    async def test_journal(self, subject: Subject) -> None:
        room, lab = Members.room("lobby 한글"), Members.room("lab")
        likely = "a message is not in JOURNAL when it is heard, or what is there is not read: ids, messages and keys"
        with tempfile.TemporaryDirectory() as folder:
            journal = str(Path(folder) / "journal")
            async with subject.another(JOURNAL=journal) as own:
                async with back(own, room, "Ada") as ada, back(own, lab, "Grace") as grace:
                    await ada.send({"type": "message", "text": "text 1", "key": "old"})
                    await both(ada, message(1, "Ada", "text 1"), ack("old", 1))
                    await say(ada, *numbers(2, 118), "줄\n끝  <b>", first=2)
                    await ada.send({"type": "message", "text": "last", "key": "k"})
                    await both(ada, message(120, "Ada", "last"), ack("k", 120))
                    await say(grace, "here", who="Grace")
                    own.server.kill()
            # A new Python, so that nothing in the file may depend on what hash() gives for strings.
            async with subject.another(JOURNAL=journal, cold=True) as own:
                async with (
                    back(own, room, "Grace", after=10, likely=likely) as grace,
                    back(own, lab, "Ada", after=0) as ada,
                ):
                    grace.did = "120 messages, kill -9, a start on the same file, and a handshake with after=10"
                    grace.earlier = grace.did
                    cause = replayed(likely, keys={"missed": likely})
                    await grace.gets({"type": "gap", "missed": 10}, likely=cause)
                    for number in range(21, 119):
                        await grace.gets(message(number, "Ada", f"text {number}"), likely=cause)
                    await grace.gets(message(119, "Ada", "줄\n끝  <b>"), likely=cause)
                    await grace.gets(message(120, "Ada", "last"), likely=cause)
                    await ada.gets(message(1, "Grace", "here"), likely=cause)
                    async with back(own, room, "Ada") as again:
                        await again.send({"type": "message", "text": "last", "key": "k"})
                        again.did = "the key of a message before the kill"
                        await again.gets(ack("k", 120), likely=cause)
                        await again.send({"type": "message", "text": "text 1", "key": "old"})
                        again.did = "the key of the first of 120 messages before the kill"
                        await again.gets(ack("old", 1), likely=replayed(f"{likely}, the last 1000"))
                        await say(again, "next", first=121, likely=likely)

    @check(3, "has a message in the journal before anybody hears of it")
    async def test_written_first(self, subject: Subject) -> None:
        room = Members.room()
        with tempfile.TemporaryDirectory() as folder:
            journal = str(Path(folder) / "journal")
            known = 0
            for turn in range(3):
                async with subject.another(JOURNAL=journal) as own:
                    if turn:
                        answer = await own.handshake(Members.path(room, "Grace", after=str(known)))
                        if isinstance(answer, int):
                            raise Failure(
                                after=f"message {known} was heard, and the server was killed at once and started again",
                                got=f"HTTP {answer} for after={known}",
                                expect=f"message {known} is known",
                                likely=WRITTEN,
                            )
                        await answer.close()
                    async with back(own, room, "Ada") as ada:
                        await ada.send({"type": "message", "text": "x", "key": f"k{turn}"})
                        ada.did = "a message with a key"
                        first = await ada.next_object(expect="the message, or its acknowledgement", likely=WRITTEN)
                        own.server.kill()
                        if isinstance(first, dict) and isinstance(first.get("id"), int):
                            known = first["id"]
