"""Step 08, TODO 3: a journal that survives a kill."""

import contextlib
import json
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from judge.members import Members, message
from judge.messages import cut
from judge.model import Failure, Likely, check
from judge.rejoining import REPLAY, ack, back, both, full_disk, numbers, replayed, say
from judge.subject import Subject

UNJUDGED = " (not judged on Windows)" * (sys.platform == "win32")
"""The suffix for the title of a check that needs a size limit for files."""
WRITTEN = (
    "A message is broadcast or acknowledged before all of it is in the file. Call append() first, without a task in "
    "between. If you have changed the journal, write without a buffer, and compare what write() returns with the "
    "length of the line."
)
FULL = Likely(
    "A message that the file can't take isn't answered. Catch the OSError of append(), and send an error.",
    wrong=WRITTEN,
    surplus=WRITTEN,
    closed="The OSError of append() ends the endpoint, and with it the connection. Catch it, and send an error.",
    keys={
        "key": "The error lacks the key of its message, so the client doesn't know what to send again; or it has a "
        "key, and the message has none. Send the key of the message, if there is one.",
        "retry": 'Without "retry": true in the error, the client gives the message up. Call error() with retry=True.',
    },
    certain=True,
)
GOES_ON = (
    "A message that wasn't written has left something behind: its id, or its key. Change the history only after "
    "append() has returned."
)
FORGOTTEN = (
    "The start forgets keys that the server knew before the kill. Keep the last 1000 keys of a room, also those of "
    "messages that are no longer kept."
)
AGAIN = (
    "The second start misses something that the first one had. Either a duplicate was appended as a new message: look "
    "the key up before you call append(). Or the file was written again: keep the last 1000 keys of each room."
)
TORN = (
    "A part of a line is in the file, and the next line is appended to it. Compare what write() returns with the "
    "length of the line, and cut the file back to its last whole line before you write again."
)
DAMAGED = "A damaged line ends the reading of the file, or the start of the server. Leave out that line, and read on."
GAP = (
    "The gap isn't where the ids are missing. While you go through the kept messages, compare each id with the one "
    "before, and put the gap there."
)
GLUED = (
    "The first line after the start is appended to a line that has no end, and both are lost. At the start, cut off a "
    "last line without its end."
)
IDS = "The ids are counted, so a damaged line makes them too small. Continue with the largest id in the file."


class Journal:
    @check(3, "continues after a kill: ids, the last 100 messages, and keys")
    async def test_journal(self, subject: Subject) -> None:
        room, lab = Members.room("lobby 한글"), Members.room("lab")
        likely = (
            "A message is broadcast before it is in the file, or the start doesn't read all of it: ids, messages and "
            "keys. Call append() first, and at the start add all that read() returns to the histories."
        )
        killed = "120 messages were sent, then the server was killed with kill -9 and started on the same file"
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
            # Start a new Python: there, hash() returns other values for strings, and the file must not depend on them.
            async with subject.another(JOURNAL=journal, cold=True) as own:
                async with (
                    back(own, room, "Grace", after=10, likely=likely, after_this=killed) as grace,
                    back(own, lab, "Ada", after=0) as ada,
                ):
                    grace.did = f"a handshake with after=10; {killed}"
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
                        await again.gets(ack("old", 1), likely=replayed(FORGOTTEN))
                        await say(again, "next", first=121, likely=likely)
                        own.server.kill()
            # Start again: this start reads the file as the first one has left it.
            async with subject.another(JOURNAL=journal) as own, back(own, room, "Ada", after=120) as ada:
                ada.did = ada.earlier = "two times kill -9 and a start on the same file, and a handshake with after=120"
                await ada.gets(message(121, "Ada", "next"), likely=replayed(AGAIN))
                await ada.send({"type": "message", "text": "text 1", "key": "old"})
                ada.did = "the key of the first of 121 messages, after two starts"
                await ada.gets(ack("old", 1), likely=replayed(AGAIN))

    @check(3, "answers with retry while the file accepts nothing, and then continues" + UNJUDGED)
    async def test_full_disk(self, subject: Subject) -> None:
        if sys.platform == "win32":
            return  # Windows has no limit for the size of a process's files.
        room = Members.room()
        # Make it too long for any format to fit it into the present size of the file.
        two = {"type": "message", "text": "two " * 5000, "key": "k2"}
        with tempfile.TemporaryDirectory() as folder:
            journal = str(Path(folder) / "journal")
            async with (
                subject.another(JOURNAL=journal, full=True) as own,
                back(own, room, "Grace") as grace,
                back(own, room, "Ada") as ada,
            ):
                await ada.send({"type": "message", "text": "one", "key": "k1"})
                await both(ada, message(1, "Ada", "one"), ack("k1", 1))
                for value in ({"type": "joined", "name": "Ada"}, message(1, "Ada", "one")):
                    await grace.gets(value, likely=REPLAY)
                async with full_disk(own):
                    await ada.send(two)
                    ada.did = ada.earlier = f"{cut(json.dumps(two))}, when the file takes only a part of it"
                    await ada.gets_error({"key": "k2", "retry": True}, likely=FULL)
                    await ada.send({"type": "message", "text": "no key"})
                    ada.did = "a message without a key, when the file takes nothing more"
                    await ada.gets_error(likely=FULL)
                    # A direct message needs no file. If Grace receives it next, she has received nothing in between.
                    await ada.send({"type": "direct", "to": "Grace", "text": "full"})
                    grace.did = "a message of Ada that the file didn't take, and then a direct message"
                    direct = {"type": "direct", "from": "Ada", "text": "full"}
                    await grace.gets(direct, likely=Likely(WRITTEN, surplus=WRITTEN, replayed=WRITTEN, wrong=WRITTEN))
                await ada.send(two)
                ada.did = "the same message with the same key, now that the file takes it"
                await both(ada, message(2, "Ada", str(two["text"])), ack("k2", 2), likely=GOES_ON)
                await grace.gets(message(2, "Ada", str(two["text"])), likely=GOES_ON)
                await say(ada, "three", first=3, likely=GOES_ON)
                await grace.gets(message(3, "Ada", "three"), likely=GOES_ON)
                own.server.kill()
            async with subject.another(JOURNAL=journal) as own, back(own, room, "Ada", after=0) as ada:
                ada.did = "a time in which the file took nothing, kill -9, a start on it, and a handshake with after=0"
                ada.earlier = ada.did
                for number, text in enumerate(("one", str(two["text"]), "three"), 1):
                    await ada.gets(message(number, "Ada", text), likely=replayed(TORN, wrong=TORN))
                for number in (1, 2):
                    await ada.send({"type": "message", "text": "again", "key": f"k{number}"})
                    await ada.gets(ack(f"k{number}", number), likely=replayed(GOES_ON))
                await say(ada, "four", first=4, likely=GOES_ON)

    @check(3, "starts on a file with a damaged line and a line that has no end")
    async def test_damaged(self, subject: Subject) -> None:
        room = Members.room()
        with tempfile.TemporaryDirectory() as folder:
            journal = Path(folder) / "journal"
            async with subject.another(JOURNAL=str(journal)) as own, back(own, room, "Ada") as ada:
                await say(ada, *numbers(1, 5))
                own.server.kill()
            if not _damage(journal):
                return  # Skip an answer with its own format: the check doesn't know how to damage it.
            for last in (5, 6):
                async with _started(subject, journal) as own, back(own, room, "Ada", after=0) as ada:
                    ada.did = (
                        f"{last} messages, kill -9, damage to the line of message 3, half a line at the end, "
                        f"{'a start' if last == 5 else 'two starts'} on the file, and a handshake with after=0"
                    )
                    ada.earlier = ada.did
                    for number in range(1, last + 1):
                        item = message(number, "Ada", f"text {number}") if number != 3 else {"type": "gap", "missed": 1}
                        likely = GLUED if number == 6 else DAMAGED
                        other = GAP if number <= 3 else likely
                        await ada.gets(item, likely=replayed(likely, wrong=other, surplus=other))
                    await say(ada, f"text {last + 1}", first=last + 1, likely=replayed(IDS, keys={"id": IDS}))
                    own.server.kill()


@contextlib.asynccontextmanager
async def _started(subject: Subject, journal: Path) -> AsyncIterator[Subject]:
    """Start the answer's server on a damaged file.

    Raises:
        Failure: it doesn't start.
    """
    async with contextlib.AsyncExitStack() as stack:
        try:
            own = await stack.enter_async_context(subject.another(JOURNAL=str(journal)))
        except Failure as failure:
            failure.after = "damage to the line of message 3, and half a line at the end of the file"
            failure.expect, failure.likely = "a start on the file", DAMAGED
            raise
        yield own


def _damage(journal: Path) -> bool:
    """Overwrite the middle of the line of message 3 with zeros, and append half a line, as a power cut may.

    Returns:
        True if the file has one line of JSON for each message, as `journal.py` writes them, and is now damaged.
    """
    data = journal.read_bytes() if journal.is_file() else b""
    lines = data.splitlines(keepends=True)
    try:
        values = [json.loads(line) for line in lines]
    except ValueError:
        return False
    if len(values) != 5 or not data.endswith(b"\n") or not all(b"text" in line for line in lines):
        return False
    third, middle = lines[2], len(lines[2]) // 2
    lines[2] = third[: middle - 8] + bytes(16) + third[middle + 8 :]
    journal.write_bytes(b"".join([*lines, lines[4][:middle]]))
    return True
