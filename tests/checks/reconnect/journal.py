"""Step 08, TODO 3: a journal that survives a kill."""

import asyncio
import contextlib
import json
import re
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from judge import pool
from judge.clients import Client
from judge.members import Members, joined, message
from judge.messages import cut, is_message, parsed, show
from judge.model import NOT_ON_WINDOWS, Failure, Likely, check
from judge.rejoining import (
    REPLAY,
    ack,
    acknowledged,
    back,
    both,
    ends,
    fill_up,
    full_disk,
    keys,
    numbers,
    quoted,
    refuses,
    replayed,
    say,
    send_keyed,
    texts,
)
from judge.subject import Subject

from .journal_lines import CHANGED, changed_key, damaged, lines

WINDOW = 1000
UNWRITTEN = (
    "Your code broadcasts a message whose line isn't in the file. If append() hasn't run yet, call it directly, before "
    "the broadcast. If you have changed journal.py, append() doesn't raise OSError: compare what write() returns with "
    "the length of the line."
)
IGNORED = (
    "append() has raised OSError, and your code broadcasts or acknowledges the message anyway. After you catch it, "
    "send only the error to [tab]: no broadcast, and no ack."
)
SHORT = (
    "append() returns, although only a part of the line is in the file: write() stores what fits, and returns that "
    "number. In your journal, compare it with the length of the line, and raise OSError if it's smaller."
)
NOT_CALLED = (
    "Your code broadcasts the message, and has written nothing of its line. Call append() before the broadcast, in the "
    "same function, without a task or a delay. If you have changed journal.py, open the file with buffering=0."
)
ERROR_SPREAD = (
    "The error of a message that can't be stored goes to other connections too. Send it to [tab], the connection that "
    "sent the message."
)
KEY_REMOVED = (
    "A message that can't be stored removes the oldest key of the room. Call append() first, and remove an old key "
    "only when the new one is stored."
)
NEEDLESS = "A direct message isn't delivered while the file stores nothing. It needs no append(): send it as before."
SENT_FIRST = (
    "Your code broadcasts the message before append() has written its line, so the error comes too late. Call append() "
    "first, and broadcast only after it has returned."
)
GOES_ON_AFTER = (
    "Your code sends the error, and then broadcasts the message anyway. Return after the error: no broadcast, and no "
    "ack."
)
FULL = Likely(
    "A message that the file can't store isn't answered. Catch the OSError of append(), and send an error to [tab].",
    wrong=UNWRITTEN,
    surplus=GOES_ON_AFTER,
    closed="An OSError of append() ends the endpoint, and with it the connection. Catch OSError, whatever its errno, "
    "and send an error to [tab].",
    keys={
        "key": "The error lacks the key of its message, so the client can't match it to the message. Pass the "
        "message's key to error().",
        "retry": 'Without "retry": true in the error, the client discards the message. Call error() with retry=True.',
    },
    certain=True,
)
EMPTY_KEY = (
    "The message has no key, and its error has key or retry. Pass the message's key to error(): for an empty "
    "string, it leaves out both."
)
STORED = (
    "A duplicate is appended to the file, or isn't acknowledged again. Look up its key before you call append(): a "
    "duplicate needs no line."
)
GOES_ON = (
    "Your code keeps something of a message that wasn't written: its id, its key, its entry in the history, or the "
    "failure itself. Change the history only after append() has returned, and call append() for each message."
)
ID_USED = (
    "A message that wasn't written has used an id. Set the last id, and add the message to the history, only after "
    "append() has returned."
)
KEY_STORED = (
    "Your code stores the key of a message that wasn't written, so the retry counts as a duplicate. Add the message to "
    "the history only after append() has returned."
)
RESTORED = (
    "After the start, the replay or the last id isn't that of before the kill. Either a message was broadcast before "
    "it was in the file, or the start doesn't add all records that read() returns to the history of their room."
)
APPENDED = (
    "The two duplicates that were sent before the kill are in the file as lines. Look up the key before you call "
    "append(): a duplicate needs no line."
)
LOST = (
    "The last messages before the kill are lost, though they were acknowledged: they weren't in the file. Call "
    "append() before the broadcast, without a task in between. If you have changed the journal, write without a buffer."
)
BUFFERED = (
    "After the kill, the file has {found} lines of {wanted} acknowledged messages. If you have changed journal.py, the "
    "rest was in a buffer of your process: open the file with buffering=0, or write with os.write(). If not, call "
    "append() before the broadcast, in the same function, without a task or a delay."
)
DELAYED = (
    "After the kill, the file has {found} lines of {wanted} acknowledged messages, so your code broadcasts a message "
    "before its line is written. Call append() in the same function, before the broadcast, without a task or a delay."
)
UNRESTORED = (
    "The file has the lines of all messages, and your start doesn't restore them. Add every record that read() returns "
    "to the history of its room."
)
OTHER_KEY_ID = (
    "After the start, a known key has another id. Store the id of each record with its key, and look up both in the "
    "history of the room."
)
HASHED = (
    "The file doesn't have the key {key} as it was sent: your Record has no key, or another value, such as hash(key), "
    "which differs in each process. Pass message.key to Record unchanged."
)
NO_KEYS = (
    "The file has the key {key}, and your start doesn't restore it. Add the sender and the key of each record to the "
    "keys of its room, with the id of the record."
)
LAST_KEYS = (
    "After the start, your code has the newest key, and not the older ones, such as only those of the last 100 "
    "messages. Add the keys of all records, also of messages that the history no longer keeps."
)
TOO_MANY = (
    "After the start, your code still has a key that isn't one of the last 1,000 of the room. Remove the oldest key at "
    "the start too: add each record with the method that a new message uses."
)
SENDER = "After the start, your code accepts a key from another sender as a duplicate. Restore the sender with its key."
REWRITTEN = (
    "The first start made the file shorter: it had {wanted} lines before, and has {found} after 2 more messages. Your "
    "code rewrites it, and leaves out messages whose keys are still among the last 1,000. Only append to the file."
)
MORE_LINES = (
    "The file has {found} lines, and only {wanted} messages were accepted, so your code appends duplicates. Look up "
    "the key before you call append(): a duplicate needs no line."
)
AGAIN = (
    "The second start doesn't have what the first one had. Either a duplicate was appended as a line: look up the key "
    "before you call append(). Or your code writes the file again and leaves something out: only append to it."
)
SECOND_START = (
    "The file has the lines of all messages, and the second start restores other values than the first one. At the "
    "start, add each record with the method that a new message uses, and change no record."
)
TORN = (
    "A part of a line is in the file, and the next line is appended to it. Compare what write() returns with the "
    "length of the line, and truncate the file to its last complete line before you write again."
)
DAMAGED = (
    "A damaged line ends the reading of the file, or the start of the server. Catch the error of each single line, "
    "leave it out, and read on."
)
GAP = (
    "The gaps aren't where the ids are missing, or have another number. Go through the kept messages, compare each id "
    "with the one before, which is after for the first one, and put a gap wherever it isn't the next."
)
ONE_GAP = (
    "Your code sends one gap for all missing messages. Put a gap in each place where ids are missing: go through the "
    "kept messages, and compare each id with the one before, which is after for the first one."
)
GLUED = (
    "The first line after the start is appended to a line that has no end, and both are lost. At the start, truncate "
    "the file after its last complete line."
)
GLUED_FIRST = (
    "Your code truncates a line without its end only if a complete line is in front of it, so the next message is "
    "appended to it. If the file has no complete line, truncate it to 0 bytes."
)
IDS = (
    "The next id isn't the largest one of the room plus 1. After the start, continue with the id of the room's last "
    "record: don't count the records, and don't use another room's."
)


class Journal:
    @check(3, "continues after a kill: ids, the last 100 messages, and the last 1000 keys")
    async def test_journal(self, subject: Subject) -> None:
        room, quiet = Members.room("lobby 한글"), Members.room("quiet")
        killed = "1111 messages with 1001 keys were sent, then kill -9, and a start on the same file"
        keyed: list[dict[str, Any]] = [
            {"type": "message", "text": f"text {number}", "key": f"k{number}"} for number in range(2, WINDOW + 2)
        ]
        keyed[500:500] = [{"type": "message", "text": "no key"}] * 110
        wanted = [message(number, "Ada", each["text"]) for number, each in enumerate(keyed, 2)]
        ids = {each["key"]: number for number, each in enumerate(keyed, 2) if "key" in each}
        last = len(wanted) + 1
        with tempfile.TemporaryDirectory() as folder:
            journal = str(Path(folder) / "journal")
            async with subject.another(JOURNAL=journal) as own:
                async with back(own, quiet, "Ada") as ada:
                    await say(ada, "early")
                async with back(own, room, "Grace") as grace:
                    await grace.send({"type": "message", "text": "text 1", "key": "first"})
                    await both(grace, message(1, "Grace", "text 1"), ack("first", 1))
                async with back(own, room, "Ada") as ada:
                    await acknowledged(ada, keyed)
                    for key in ("k2", "k1001"):
                        await self._acked(ada, key, ids[key], "before the kill", STORED)
                    own.server.kill()
            accepted = last + 1
            # A message of the quiet room is one of the lines.
            restored, lost = _after_kill(journal, accepted)
            # Start a new Python: there, hash() returns other values for strings, and the file must not depend on them.
            async with subject.another(JOURNAL=journal, cold=True) as own:
                async with (
                    back(own, room, "Grace", after=10, likely=restored, after_this=killed) as grace,
                    back(own, room, "Ada") as ada,
                ):
                    did = f"a handshake with after=10; {killed}"
                    await self._replays(grace, wanted[-100:], last - 110, did, restored, lost)
                    await grace.gets(joined("Ada"), likely=restored)
                    await refuses(own, room, last + 1, killed, restored)
                    # The newest key first: if it's known, the start restores only some keys.
                    for key in ("k1001", "k2", "k500", "k501"):
                        likely = _forgotten(journal, key, is_newest=key == "k1001")
                        why = f"a key of Ada's message {ids[key]}; {killed}"
                        await self._acked(ada, key, ids[key], why, likely, other_id=OTHER_KEY_ID)
                    for key, likely in (("first", TOO_MANY), ("k1001", SENDER)):
                        last += 1
                        await grace.send({"type": "message", "text": key, "key": key})
                        grace.did = f"the key {key}; {killed}, and 1000 keys of Ada are the newest"
                        await both(grace, message(last, "Grace", key), ack(key, last), likely=likely)
                        wanted.append(message(last, "Grace", key))
                    own.server.kill()
            # Start again: this start reads the file as the first one has left it.
            twice = f"{killed}, 2 more messages, and again kill -9 and a start"
            again = _after_start(journal, accepted)
            async with subject.another(JOURNAL=journal) as own:
                async with (
                    back(own, room, "Ada", after=10, likely=again, after_this=twice) as ada,
                    back(own, room, "Grace") as grace,
                ):
                    await self._replays(ada, wanted[-100:], last - 110, f"a handshake with after=10; {twice}", again)
                    await ada.gets(joined("Grace"), likely=again)
                    for tab, key, number in (
                        (ada, "k4", 4),
                        (ada, "k1001", ids["k1001"]),
                        (grace, "first", last - 1),
                        (grace, "k1001", last),
                    ):
                        await self._acked(tab, key, number, f"a key of message {number}; {twice}", again)
                    async with back(own, quiet, "Ada", after=0, likely=RESTORED, after_this=twice) as early:
                        early.did = (
                            f"a handshake with after=0 for a room that was quiet before the 1111 messages; {twice}"
                        )
                        await early.gets(message(1, "Ada", "early"), likely=replayed(RESTORED))
                    last += 1
                    await say(ada, "next", first=last, likely=Likely(again, keys={"id": again}))

    @staticmethod
    async def _acked(tab: Client, key: str, number: int, why: str, likely: str, *, other_id: str = "") -> None:
        await tab.send({"type": "message", "text": "again", "key": key})
        tab.did = f"the key {key} again; {why}"
        cause = Likely(likely, wrong=likely, surplus=likely, replayed=likely, keys={"id": other_id or likely})
        await tab.gets(ack(key, number), likely=cause)

    @staticmethod
    async def _replays(
        tab: Client, wanted: list[dict[str, Any]], missed: int, did: str, likely: str, lost: str = LOST
    ) -> None:
        tab.did = tab.earlier = did
        cause = Likely(likely, surplus=likely, replayed=likely, wrong=likely, keys={"id": likely})
        gap = {"type": "gap", "missed": missed}
        frame = await tab.next(expect=show(gap), likely=cause)
        if not is_message(frame, gap):
            value = parsed(frame)
            other = value.get("missed") if isinstance(value, dict) else None
            # Two duplicates were sent before the kill.
            if isinstance(other, int):
                likely = lost if other < missed else APPENDED if other == missed + 2 else likely
            raise Failure(sent=did, got=show(frame), expect=show(gap), likely=likely)
        for each in wanted:
            await tab.gets(each, likely=cause)
        tab.earlier = None

    @check(3, "restores every room, name, text and key unchanged")
    async def test_restored(self, subject: Subject) -> None:
        rooms = pool.rooms()
        room = rooms.pop("characters of URLs")
        said = dict(zip(list(keys().values())[:75], chain(texts(long=False).values(), numbers(1, 75)), strict=False))
        wanted = [message(number, "Ada", text) for number, text in enumerate(said.values(), 1)]
        happened = "messages with different keys, texts, names and rooms, kill -9, and a start on the same file"
        with tempfile.TemporaryDirectory() as folder:
            journal = str(Path(folder) / "journal")
            async with subject.another(JOURNAL=journal) as own:
                async with back(own, room, "Ada") as ada:
                    await send_keyed(ada, said, first=1, likely=Likely(""))
                for kind, name in pool.names().items():
                    async with back(own, room, name) as tab:
                        wanted.append(message(len(wanted) + 1, name, kind))
                        await tab.send({"type": "message", "text": kind, "key": "k"})
                        await both(tab, wanted[-1], ack("k", len(wanted)))
                for kind, each in rooms.items():
                    async with back(own, each, "Ada") as ada:
                        await say(ada, kind)
                own.server.kill()
            async with subject.another(JOURNAL=journal) as own:
                async with back(own, room, "Ada", after=0, likely=RESTORED, after_this=happened) as ada:
                    for value in wanted:
                        ada.did = f"a handshake with after=0; {happened}"
                        await ada.gets(value, likely=replayed(CHANGED, wrong=CHANGED))
                    await ada.send_burst(*({"type": "message", "text": "again", "key": key} for key in said))
                    for number, key in enumerate(said, 1):
                        ada.did = f"{len(said)} known keys in one packet, one of them {quoted(key)}; {happened}"
                        cause = replayed(CHANGED, wrong=CHANGED, keys={"id": CHANGED})
                        try:
                            await ada.gets(ack(key, number), likely=cause)
                        except Failure as failure:
                            if failure.likely == CHANGED:
                                failure.likely = changed_key(Path(journal), room, list(said))
                            raise
                    await ends(ada, likely=AGAIN)
                for kind, each in rooms.items():
                    did = f"a handshake with after=0 for the room {quoted(each)}; {happened}"
                    async with back(own, each, "Ada", after=0, likely=CHANGED, after_this=did) as ada:
                        ada.did = did
                        await ada.gets(message(1, "Ada", kind), likely=replayed(CHANGED, wrong=CHANGED))
                        await say(ada, "next", first=2, likely=Likely(IDS, wrong=CHANGED, keys={"id": IDS}))

    @check(3, "answers with retry while the file accepts nothing, and then continues" + NOT_ON_WINDOWS)
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
                back(own, room, "Ada") as other,
            ):
                await ada.send({"type": "message", "text": "one", "key": "k1"})
                await both(ada, message(1, "Ada", "one"), ack("k1", 1))
                for value in (joined("Ada"), message(1, "Ada", "one")):
                    await grace.gets(value, likely=REPLAY)
                async with full_disk(own):
                    await self._while_full(own, Path(journal), room, ada, grace, two)
                for number, value in ((2, two), (3, two | {"text": "three", "key": "k3"})):
                    await ada.send(value)
                    ada.did = f"{cut(json.dumps(value))}, after an error with retry, and now the file accepts it"
                    gone_on = Likely(GOES_ON, wrong=GOES_ON, keys={"id": ID_USED})
                    await both(ada, message(number, "Ada", value["text"]), ack(value["key"], number), likely=gone_on)
                    await grace.gets(message(number, "Ada", value["text"]), likely=gone_on)
                await say(ada, "four", first=4, likely=GOES_ON)
                await grace.gets(message(4, "Ada", "four"), likely=GOES_ON)
                other.did = "messages of another tab of Ada, some of which the file didn't store"
                for number, text in enumerate(("one", str(two["text"]), "three", "four"), 1):
                    cause = Likely("", surplus=ERROR_SPREAD, wrong=ERROR_SPREAD)
                    await other.gets(message(number, "Ada", text), likely=cause)
                await self._keeps_its_keys(own)
                own.server.kill()
            async with subject.another(JOURNAL=journal) as own, back(own, room, "Ada", after=0, likely=TORN) as ada:
                happened = "a period in which the file accepted nothing, kill -9, and a start on it"
                ada.did = ada.earlier = f"{happened}; a handshake with after=0"
                for number, text in enumerate(("one", str(two["text"]), "three", "four"), 1):
                    await ada.gets(message(number, "Ada", text), likely=replayed(TORN, wrong=TORN))
                for number in (1, 2, 3):
                    await self._acked(ada, f"k{number}", number, happened, TORN)
                await say(ada, "five", first=5, likely=GOES_ON)

    @staticmethod
    async def _keeps_its_keys(own: Subject) -> None:
        """Check that messages that the file can't store remove no key from a full window."""
        room = Members.room("full")
        async with back(own, room, "Ada") as ada:
            await acknowledged(ada, [{"type": "message", "text": "", "key": f"k{n}"} for n in range(WINDOW)], first=1)
            async with full_disk(own):
                await fill_up(own)
                for key in ("new 1", "new 2"):
                    await ada.send({"type": "message", "text": "", "key": key})
                    await ada.gets_error({"key": key, "retry": True}, likely=FULL)
                await ada.send({"type": "message", "text": "", "key": "k0"})
                ada.did = f"the first of {WINDOW} keys again, after two messages that the file didn't store"
                await ada.gets(ack("k0", 1), likely=Likely(KEY_REMOVED, wrong=KEY_REMOVED))

    @staticmethod
    async def _while_full(
        own: Subject, journal: Path, room: str, ada: Client, grace: Client, two: dict[str, Any]
    ) -> None:
        async def direct_arrives() -> None:
            # A direct message needs no file. If Grace receives it next, she has received nothing in between.
            await ada.send({"type": "direct", "to": "Grace", "text": "full"})
            grace.did = "messages of Ada that the file didn't store, and then a direct message"
            direct = {"type": "direct", "from": "Ada", "text": "full"}
            await grace.gets(direct, likely=Likely(NEEDLESS, surplus=SENT_FIRST, replayed=SENT_FIRST, wrong=SENT_FIRST))

        await ada.send(two)
        ada.did = ada.earlier = f"{cut(json.dumps(two))}, when the file stores only a part of it"
        try:
            await ada.gets_error({"key": "k2", "retry": True}, likely=replace(FULL, surplus=SENT_FIRST))
        except Failure as failure:
            if failure.likely == UNWRITTEN:
                failure.likely = await _unwritten(own, journal)
            raise
        await ada.send({"type": "message", "text": "no key"})
        ada.did = "a message without a key, when the file stores nothing"
        await ada.gets_error(likely=replace(FULL, keys=dict.fromkeys(("key", "retry"), EMPTY_KEY)))
        await fill_up(own)
        for key, count in (("k3", "for the first time"), ("k2", "again"), ("k2", "again"), ("k3", "again")):
            await ada.send(two | {"key": key})
            ada.did = f"a message with the key {key}, {count}, when the file stores nothing"
            likely = replace(FULL, wrong=KEY_STORED) if count == "again" else FULL
            await ada.gets_error({"key": key, "retry": True}, likely=likely)
        await direct_arrives()
        await ada.send({"type": "message", "text": "one", "key": "k1"})
        ada.did = "a duplicate of message 1, which is in the file, when the file stores nothing more"
        await ada.gets(ack("k1", 1), likely=Likely(STORED, wrong=STORED, closed=STORED))
        await refuses(own, room, 2, "message 1 is stored, and the next ones aren't", ID_USED)
        await direct_arrives()

    @check(3, "starts on a file with damaged lines and a line that has no end")
    async def test_damaged(self, subject: Subject) -> None:
        room, lab = Members.room(), Members.room("lab")
        with tempfile.TemporaryDirectory() as folder:
            journal = Path(folder) / "journal"
            async with subject.another(JOURNAL=str(journal)) as own, back(own, room, "Ada") as ada:
                await say(ada, "text 0")
                own.server.kill()
            if len(found := lines(journal)) != 1:
                return  # Skip an answer with its own format: the check doesn't know how to damage it.
            torn = found[0][:-9]
            journal.write_bytes(torn)
            half = "a start on a file that has only one line, without its end"
            async with (
                _started(subject, journal, half) as own,
                back(own, room, "Ada", after=0, likely=DAMAGED) as ada,
                back(own, lab, "Ada") as other,
            ):
                ada.did = f"{half}, and a handshake with after=0"
                await ends(ada, likely=DAMAGED)
                await say(ada, *numbers(1, 10), likely=Likely(IDS, keys={"id": IDS}))
                await say(other, "한글 " * 9)
                own.server.kill()
            if len(found := lines(journal)) != 11:
                got = f"a file in which {len(found)} lines are the JSON of a message"
                is_first = journal.read_bytes().startswith(torn) and any(
                    "is cut off" in line for line in own.server.log
                )
                likely = GLUED_FIRST if is_first else GLUED
                raise Failure(after=f"{half}, 11 messages, and kill -9", got=got, expect="11 of them", likely=likely)
            journal.write_bytes(damaged(found))
            replay: list[dict[str, Any]] = [message(1, "Ada", "text 1")]
            for id_, missed in ((3, 1), (5, 1), (8, 2), (10, 1)):
                replay += [{"type": "gap", "missed": missed}, message(id_, "Ada", f"text {id_}")]
            for starts in (1, 2):
                count = "a start" if starts == 1 else "two starts"
                damage = f"messages 1 to 10, kill -9, damage to the lines of 2, 4, 6, 7 and 9, and {count} on the file"
                async with _started(subject, journal, damage) as own:
                    for after, left_out in ((0, 0), (2, 2), (6, 5), (9, 8)):
                        await self._replay(own, room, after, replay[left_out:], damage)
                    async with back(own, room, "Ada") as ada, back(own, lab, "Ada", after=0, likely=DAMAGED) as other:
                        number = 10 + starts
                        replay.append(message(number, "Ada", f"text {number}"))
                        ada.after = damage
                        await say(ada, f"text {number}", first=number, likely=replayed(IDS, keys={"id": IDS}))
                        other.did = f"a handshake with after=0 for another room; {damage}"
                        for each in range(1, starts + 1):
                            text = "한글 " * 9 if each == 1 else "more"
                            await other.gets(message(each, "Ada", text), likely=replayed(GLUED))
                        await say(other, "more", first=starts + 1, likely=replayed(IDS, keys={"id": IDS}))
                        own.server.kill()

    @staticmethod
    async def _replay(own: Subject, room: str, after: int, replay: list[dict[str, Any]], damage: str) -> None:
        if after == 6:
            replay = [{"type": "gap", "missed": 1}, *replay[1:]]
        refused = IDS if after else DAMAGED
        async with back(own, room, "Grace", after=after, likely=refused, after_this=damage) as grace:
            grace.did = grace.earlier = f"a handshake with after={after}; {damage}"
            for place, value in enumerate(replay):
                new = value.get("id", 0) > 10
                cause = GLUED if new else GAP
                silent = GLUED if new else DAMAGED
                keys = {"missed": GAP, "id": GAP}
                likely = Likely(silent, wrong=cause, surplus=cause, replayed=cause, keys=keys)
                try:
                    await grace.gets(value, likely=likely)
                except Failure as failure:
                    if failure.likely == GAP:
                        await _in_order(grace, replay, place, failure)
                    raise
            await ends(grace, likely=GAP)


@contextlib.asynccontextmanager
async def _started(subject: Subject, journal: Path, damage: str) -> AsyncIterator[Subject]:
    """Start the answer's server on a damaged file.

    Raises:
        Failure: it doesn't start.
    """
    async with contextlib.AsyncExitStack() as stack:
        try:
            own = await stack.enter_async_context(subject.another(JOURNAL=str(journal)))
        except Failure as failure:
            failure.after = damage
            failure.expect, failure.likely = "a start on the file", DAMAGED
            raise
        yield own


async def _in_order(grace: Client, replay: list[dict[str, Any]], place: int, failure: Failure) -> None:
    """Show the order of a replay in a failure about its gaps, and find the cause if one gap counts all the others."""
    order = [f"a gap of {each['missed']}" if each["type"] == "gap" else f"message {each['id']}" for each in replay]
    found = failure.got.removeprefix("one message more: ")
    following = await grace.receives_any()
    found += ", and then " + ("nothing more" if following is None else show(following))
    failure.got = f"{', '.join(order[:place])}, and then {found}" if place else found
    failure.expect = ", ".join(order)
    missed = re.search(r'"missed": ?(\d+)', found)
    if not place and missed and int(missed[1]) == sum(each.get("missed", 0) for each in replay):
        failure.likely = ONE_GAP


def _count(journal: str) -> int | None:
    """Return the number of lines, or None for an answer with its own format."""
    content = Path(journal).read_bytes() if Path(journal).is_file() else b"no file"
    return content.count(b"\n") if content[:1] in (b"", b"{") else None


def _after_kill(journal: str, wanted: int) -> tuple[str, str]:
    """Return the likely causes, from the file after a kill, if the start restores too little, and if ids are lost."""
    found = _count(journal)
    if found is None:
        return RESTORED, LOST
    if found < wanted:
        # A buffer of a file has 8 KiB.
        rest = (wanted - found) * Path(journal).stat().st_size / max(found, 1)
        likely = (BUFFERED if 0 < rest < 8192 else DELAYED).format(found=found, wanted=wanted)
        return likely, likely
    likely = UNRESTORED if found == wanted else MORE_LINES.format(found=found, wanted=wanted)
    return likely, likely


def _after_start(journal: str, before: int) -> str:
    """Return the likely cause, from the file, if a second start restores less than the first one."""
    found = _count(journal)
    if found == before + 2:
        return SECOND_START
    if found is not None and found < before:
        return REWRITTEN.format(found=found, wanted=before)
    return MORE_LINES.format(found=found, wanted=before + 2) if found and found > before + 2 else AGAIN


def _forgotten(journal: str, key: str, *, is_newest: bool) -> str:
    """Return the likely cause if a key is unknown after a start. The newest key is the first one that's sent."""
    if _count(journal) is not None and f'"{key}"'.encode() not in Path(journal).read_bytes():
        return HASHED.format(key=key)
    return NO_KEYS.format(key=key) if is_newest else LAST_KEYS


async def _unwritten(own: Subject, journal: Path) -> str:
    """Return the likely cause, from the log and the file, if a message is broadcast that the file can't store."""

    def reported(log: list[str]) -> bool:
        return any("a message can't be written" in line for line in log)

    # The line may arrive after the message.
    await asyncio.to_thread(own.server.wait_for, reported, 1)
    if reported(own.server.log):
        return IGNORED
    if _count(str(journal)) is None:
        return UNWRITTEN
    return NOT_CALLED if journal.read_bytes().endswith(b"\n") else SHORT
