"""Step 08, TODO 2: acknowledgements, errors with a key, and idempotency keys."""

import json
import re
from dataclasses import replace
from typing import Any

from judge import pool
from judge.clients import Client
from judge.members import BAD, Members, joined, left, message
from judge.messages import cut, show
from judge.model import Failure, Likely, check
from judge.rejoining import (
    NO_ACK,
    OTHER_ID,
    REPLAY,
    SEPARATORS,
    ack,
    acknowledged,
    back,
    both,
    ends,
    keys,
    quoted,
    replayed,
    say,
    send_keyed,
    texts,
)
from judge.slow_readers import GIANT
from judge.subject import Subject

WINDOW = 1000
NOTICES = "The messages of step 07 change. Keep what join, leave and post_message send, and add the ack."
KEY_SHOWN = "Your code broadcasts the key too. Send it only in the ack: the broadcast has type, id, from and text."
REPLAYED_KEY = 'The replay has the key of a message. Store the event that you broadcast, without "key".'
ACK_SPREAD = "The ack goes to other connections too. Send it to [tab], the connection that sent the message."
ACK_FIRST = (
    "The ack of a duplicate goes to the connection that sent the first one. Send it to [tab], the connection that sent "
    "the duplicate."
)
UNASKED = "Your code acknowledges a message that has no key, or stores its empty key. Do both only if key isn't empty."
REFUSED = "Your code refuses this key. Every string of 1 to 64 characters is valid: use the given type Key."
IN_BYTES = "The length of a key is counted in bytes or in UTF-16 units. Count its characters, with len()."
AGAIN = (
    "Your code broadcasts a message whose key it has already accepted. Before everything else, look up the sender and "
    "the key in the history of the room, and return the stored id."
)
CONFLICT = (
    "A message with a known key gets an error, such as for its other text. Compare only the sender and the key, and "
    "send the same ack again."
)
SILENT = "A message with a known key isn't answered. Return its stored id, and send the same ack again."
DUPLICATE = Likely(SILENT, wrong=AGAIN, surplus=AGAIN, replayed=AGAIN, keys={"id": OTHER_ID}, elsewhere=ACK_FIRST)
RACE = (
    "Two messages with one key arrived at the same time, and both were accepted. Look up the key and store it without "
    "an await in between, or hold a lock for both."
)
MANY_ACKS = 70
"""More acks than may be queued."""
ACKS_UNLIMITED = (
    "Acks are queued for a tab whose client reads nothing, without a limit. Queue them with manager.send(), as the "
    "messages."
)
DEEP = 5000
"""A depth of JSON that Python's parser refuses with RecursionError."""
DEEP_JSON = (
    "JSON that's nested deeply ends the connection: json.loads() raises RecursionError for it. Where you read the key "
    "of a message that isn't valid, catch RecursionError too."
)
SAME_ID = (
    "Two members send at the same time, and their messages get the same id, or two orders. Assign the id and store the "
    "message without an await in between, or hold one lock for the whole room."
)
OTHER_FORM = (
    "This message is valid, in another form of JSON or with further keys, and it isn't accepted. Parse the JSON, and "
    "ignore the keys that you don't need."
)
VALID = Likely(OTHER_FORM, wrong=OTHER_FORM)
CLEARED = (
    "Your code has removed a key of one of the last 60 messages, so it removes many keys together. Remove only the "
    "oldest key when there are more than 1,000."
)
WITH_MESSAGES = (
    "Your code keeps at most 200 keys, or only those of the last 100 messages. Keep the last 1,000 keys in a dict of "
    "their own, apart from the messages. If you've changed settings.py, write DEDUP_WINDOW = 1000."
)
TOO_SOON = (
    "Your code removes a key when there are exactly 1,000. Remove the oldest key only if there are more than 1,000 "
    "after a new one is added."
)
COUNTS_MESSAGES = (
    "Your window has the last 1,000 messages, so messages without a key displace keys. Count only keys, in the dict, "
    "and remove the oldest one when there are more than 1,000."
)
NEVER = "Your code removes no key. When a new key makes more than 1,000 in the room, remove the oldest one."
TOO_LATE = "Your code keeps one key too many. Remove the oldest key after adding one, if there are more than 1,000."
EACH_SENDER = (
    "Your code counts the keys of each sender separately. Count all keys of the room, in one dict by (name, key)."
)
ALL_ROOMS = "Keys of another room have displaced the key of this room. Give each room its own dict of keys."
RENEWED = "A duplicate makes its key newer. Leave the stored key where it is: only a new key is added at the end."
BAD_TEXTS: tuple[dict[str, Any], ...] = (
    *({}, {"text": None}, {"text": 1}, {"text": True}, {"text": ["x"]}, {"text": {"text": "x"}}),
    # Half an emoji, which UTF-8 can't encode.
    *({"text": "\ud83d"}, {"text": "\ude00 end"}, {"text": "a \ude00\ud83d b"}),
)
"""The fields that replace the text of a valid message."""
BAD_KEYS: tuple[Any, ...] = (
    *("", "k" * 65, "열" * 65, "🙂" * 65, "k" * 100_000, 1, 0, 1.5, True, False, None, ["k"], [], {}, {"key": "k"}),
    *("\ud83d", "k\ude00"),
)
FINAL = Likely(
    "An invalid message isn't answered to its sender. Send an error to [tab], the connection that sent it.",
    wrong="An invalid message isn't answered with an error. Check its text before you look up its key.",
    keys={
        "key": "The error lacks the key, or has another one, so the client can't match it to its message. Read the key "
        "with key_of(event), and pass it to error() unchanged.",
        "retry": 'Without "retry": false in the error, the client sends the invalid message again and again. '
        "Call error() with retry=False.",
    },
)
BEFORE_TEXT = (
    "Your code acknowledges a known key before it has checked the text. Parse and validate the whole message first, "
    "and look up its key only if it's valid."
)
KNOWN = replace(FINAL, wrong=BEFORE_TEXT)
HALF = (
    "The key is lost next to half an emoji: Pydantic rejects such JSON as a whole, so code that reads the key with it "
    "gets none. Read the key with key_of(event), from what json.loads() returns."
)
WITH_HALF = replace(FINAL, keys=FINAL.keys | {"key": HALF})
WITH_KEY = (
    "The error has a key or a retry, though only a message to the room with a valid key gets them. Pass key_of(event) "
    "to error(), which adds both only if the key is valid."
)
EMPTY_KEY = (
    'Your error has "key": null or an empty key, because the message has no valid key. Send what error() returns for '
    "key_of(event). If you've changed error(), let it add key and retry only if the key isn't empty or None."
)
BAD_KEY = (
    "{found}, and your error returns it. Pass key_of(event) to error(). If you've changed key_of() or Keyed, return "
    "None if the key isn't a string of 1 to 64 characters."
)
OTHER_TYPE = (
    "Your error has a key, though the type of this message isn't \"message\". Pass key_of(event) to error(). If you've "
    'changed key_of() or Keyed, return the key only if the type is "message".'
)
NO_KEY = Likely(
    "This message isn't answered. Send an error to [tab], the connection that sent it.",
    wrong="This message is accepted. A key is a string of 1 to 64 characters: keep the check of the type Key.",
    keys=dict.fromkeys(("key", "retry"), WITH_KEY),
)
USED_UP = (
    "A message that got an error has used an id, or its key is stored. Take the next id, and store the key, only when "
    "a message is accepted."
)
SPREAD = "The error goes to other connections too. Send it to [tab], the connection that sent the invalid message."


class Keys:
    @check(2, "acknowledges a message that has a key, and no other")
    async def test_ack(self, subject: Subject) -> None:
        room = Members.room()
        async with (
            back(subject, room, "Grace") as grace,
            back(subject, room, "Ada") as other,
            back(subject, room, "Ada") as ada,
        ):
            await grace.gets(joined("Ada"), likely=NOTICES)
            sent: list[tuple[str, str]] = []
            senders: list[tuple[str, str]] = []

            async def accepted(what: str, text: str, key: str, frame: str, likely: Likely) -> None:
                await ada.send(frame)
                ada.did = f"{cut(frame)}: {what}"
                sent.append((what, text))
                senders.append(("Ada", key))
                wanted = message(len(sent), "Ada", text), ack(key, len(sent))
                await both(ada, *wanted, likely=likely, senders=senders)

            for what, key in {
                "a key": "k",
                "64 characters": "K" * 64,
                "64 characters of three bytes": "열" * 64,
            }.items():
                long = IN_BYTES if key[0] == "열" else REFUSED
                frame = json.dumps({"type": "message", "text": what, "key": key}, ensure_ascii=False)
                await accepted(what, what, key, frame, Likely("", wrong="" if key == "k" else long))
            for kind, text in texts(long=False).items():
                frame = json.dumps({"type": "message", "text": text, "key": f"text {kind}"}, ensure_ascii=False)
                await accepted(f"a text with {kind}", text, f"text {kind}", frame, Likely(""))
            for number, (kind, frame) in enumerate(
                pool.spellings({"type": "message", "text": "Straße 1", "key": "json 1"}).items(), 1
            ):
                frame = frame.replace("json 1", f"json {number}")
                await accepted(f"JSON {kind}", "Straße 1", f"json {number}", frame, VALID)
            for extra in ({"id": 99, "from": "Eve"}, {"retry": True, "room": "x", "name": "Eve", "sender": None}):
                key = f"extra {len(extra)}"
                frame = json.dumps({"type": "message", "text": "extra", "key": key} | extra)
                await accepted("keys that a client must not choose", "extra", key, frame, VALID)
            await say(ada, "no key", first=len(sent) + 1, likely=Likely(UNASKED, surplus=UNASKED, wrong=UNASKED))
            await say(ada, "none", first=len(sent) + 2, likely=Likely(UNASKED, surplus=UNASKED, wrong=UNASKED))
            await ends(ada, likely=UNASKED)
            sent += [("a message without a key", "no key"), ("another one", "none")]
            for tab, who in ((grace, "a tab of Grace"), (other, "another tab of Ada")):
                for number, (what, text) in enumerate(sent, 1):
                    tab.did = f"{what}, from Ada, as {who} received it"
                    cause = Likely(NOTICES, surplus=ACK_SPREAD, wrong=ACK_SPREAD, keys={"key": KEY_SHOWN})
                    await tab.gets(message(number, "Ada", text), likely=cause)
                await ends(tab, likely=ACK_SPREAD)
            last = len(sent)
            async with back(subject, room, "Linus", after=last - 4) as linus:
                linus.did = f"a handshake with after={last - 4}, after messages with and without a key"
                for number, (_, text) in enumerate(sent[-4:], last - 3):
                    await linus.gets(message(number, "Ada", text), likely=replayed(REPLAY, keys={"key": REPLAYED_KEY}))

    @check(2, "answers an invalid message with its key and retry false, or without an invalid key")
    async def test_errors(self, subject: Subject) -> None:
        room = Members.room()
        async with (
            back(subject, room, "Grace") as grace,
            back(subject, room, "Ada") as other,
            back(subject, room, "Ada") as ada,
        ):
            await grace.gets(joined("Ada"), likely=NOTICES)
            some = {
                "blanks": "  a key ",
                "Korean": "열쇠",
                "upper case": "KEY Straße",
                "quotes": "\"k\" 'k' \\n <b>",
                "long": "🙂" * 64,
            }
            for number, bad in enumerate((*BAD_TEXTS, *({"text": 1} for _ in some))):
                key = f"key {number}" if number < len(BAD_TEXTS) else list(some.values())[number - len(BAD_TEXTS)]
                likely = WITH_HALF if "\\ud" in json.dumps(bad) else FINAL
                await self._fails(ada, {"type": "message", "key": key} | bad, {"key": key, "retry": False}, likely)
            for bad in BAD_KEYS:
                for text in ("x", 1):
                    await self._fails(ada, {"type": "message", "text": text, "key": bad}, {}, NO_KEY)
            for value in (
                {"type": "direct", "to": "Nobody", "text": "x", "key": "key 0"},
                {"type": "whisper", "text": "x", "key": "key 0"},
                {"text": "x", "key": "key 0"},
                [{"type": "message", "text": 1, "key": "key 0"}],
            ):
                await self._fails(ada, value, {}, NO_KEY)
            for frame in (*BAD, '{"type": "message", "text": 1, "key": "k"'):
                await ada.send(frame)
                await ada.gets_error(likely=NO_KEY)
            await ada.send("[" * DEEP)
            ada.did = f"JSON that's nested {DEEP:,} deep"
            await ada.gets_error(likely=Likely(DEEP_JSON, closed=DEEP_JSON, certain=True))
            await ada.send({"type": "message", "text": "valid", "key": "key 0"})
            ada.did = "a valid message with the key of an invalid one"
            await both(ada, message(1, "Ada", "valid"), ack("key 0", 1), likely=Likely(USED_UP, wrong=USED_UP))
            # The key is known now, and the message is still invalid.
            known = ", when key 0 is known with id 1"
            again = {"type": "message", "key": "key 0"}
            await self._fails(ada, again, {"key": "key 0", "retry": False}, KNOWN, known)
            await ends(ada, likely=NO_ACK)
            for tab in (grace, other):
                tab.did = "many invalid messages of Ada, and then a valid one"
                await tab.gets(message(1, "Ada", "valid"), likely=replayed(SPREAD, wrong=SPREAD))
                await ends(tab, likely=SPREAD)

    @staticmethod
    async def _fails(ada: Client, value: Any, more: dict[str, Any], likely: Likely, when: str = "") -> None:
        # Send JSON with escapes, because UTF-8 can't encode half an emoji.
        await ada.send(json.dumps(value))
        ada.did = cut(json.dumps(value, ensure_ascii=False)) + when
        try:
            await ada.gets_error(more, likely=likely)
        except Failure as failure:
            if failure.likely == WITH_KEY:
                failure.likely = _surplus_key(value, failure.got)
            raise

    @check(2, "broadcasts a message once, however often its key arrives")
    async def test_once(self, subject: Subject) -> None:
        room, lab = Members.room(), Members.room("lab")
        async with back(subject, room, "Grace") as grace:
            async with back(subject, room, "Ada") as ada, back(subject, room, "Ada") as second:
                await ada.send({"type": "message", "text": "hello", "key": "k"})
                await both(ada, message(1, "Ada", "hello"), ack("k", 1))
                grace.did = "a message of Ada with a key, and no message before"
                for tab, values in (
                    (grace, (joined("Ada"), message(1, "Ada", "hello"))),
                    (second, (message(1, "Ada", "hello"),)),
                ):
                    for value in values:
                        await tab.gets(value, likely=Likely(NOTICES, surplus=ACK_SPREAD, wrong=ACK_SPREAD))
                for text in ("hello", "another text", ""):
                    await ada.send({"type": "message", "text": text, "key": "k"})
                    ada.did = f"the known key k with the text {quoted(text)}"
                    try:
                        await ada.gets(ack("k", 1), likely=DUPLICATE)
                    except Failure as failure:
                        if '"error"' in failure.got:
                            failure.likely = CONFLICT
                        raise
                await second.send({"type": "message", "text": "hello", "key": "k"})
                second.did = "the known key k, from a second tab of its sender"
                await second.gets(ack("k", 1), likely=DUPLICATE)
                await ada.send_burst(*[{"type": "message", "text": "hello", "key": "k"}] * 5)
                ada.did = "the known key k five times, in one packet"
                for _ in range(5):
                    await ada.gets(ack("k", 1), likely=DUPLICATE)
                await self._same_moment(subject, ada, second)
                for tab in (ada, second):
                    await ends(tab, likely=ACK_FIRST)
            grace.did = grace.earlier = (
                "Ada sent one key ten times from two tabs, and another key from both at the same time"
            )
            await grace.gets(message(2, "Ada", "now"), likely=replayed(AGAIN, wrong=AGAIN))
            await grace.gets(left("Ada"), likely=replayed(RACE))
            async with back(subject, room, "Ada") as again, back(subject, lab, "Ada") as elsewhere:
                await again.send({"type": "message", "text": "hello", "key": "k"})
                again.did = "the known key k, on a new connection"
                await again.gets(ack("k", 1), likely=DUPLICATE)
                await elsewhere.send({"type": "message", "text": "here", "key": "k"})
                elsewhere.did = "the key k in another room"
                rooms = (
                    "Your code accepts a key from another room as a duplicate. Store keys in the room's own history."
                )
                await both(elsewhere, message(1, "Ada", "here"), ack("k", 1), likely=Likely(rooms, wrong=rooms))
                await grace.gets(joined("Ada"), likely=replayed(AGAIN))
                grace.after = grace.earlier = None
                await grace.send({"type": "message", "text": "mine", "key": "k"})
                grace.did = "the key k, which Ada has used, from Grace"
                senders = "Your code accepts a key from another sender as a duplicate. Look up sender and key together."
                await both(grace, message(3, "Grace", "mine"), ack("k", 3), likely=Likely(senders, wrong=senders))
                await again.gets(message(3, "Grace", "mine"), likely=Likely(senders, surplus=AGAIN))
        await self._two_senders(subject)
        await self._counts_acks(subject)
        emptied = "Your code removes the keys of a room with its last member. Keep them in the room's history."
        await Members(subject).eventually_empty(lab, after="its only member left", likely=NOTICES)
        async with back(subject, lab, "Ada") as again:
            await again.send({"type": "message", "text": "here", "key": "k"})
            again.did = "the known key k, after its room was empty"
            await again.gets(ack("k", 1), likely=Likely(emptied, wrong=emptied, keys={"id": emptied}))

    @staticmethod
    async def _same_moment(subject: Subject, *tabs: Client) -> None:
        """Send a new key from several tabs at the same time: one is accepted, and all get the same ack."""
        value = {"type": "message", "text": "now", "key": "both"}
        await subject.simultaneously(*(tab.send(value) for tab in tabs))
        for tab in tabs:
            tab.did = "a new key, from two tabs of its sender at the same time"
            cause = Likely("", wrong=RACE, surplus=RACE)
            await both(tab, message(2, "Ada", "now"), ack("both", 2), likely=cause)

    @staticmethod
    async def _counts_acks(subject: Subject) -> None:
        """Check that the acks for a tab that reads nothing are limited."""
        room = Members.room()
        async with back(subject, room, "Ada") as ada, back(subject, room, "Linus", tiny=True) as linus:
            await ada.gets(joined("Linus"), likely=NOTICES)
            linus.stop_reading()
            await say(ada, GIANT)
            await linus.send_burst(*[{"type": "message", "text": "", "key": "k"}] * MANY_ACKS)
            ada.did = f"Linus, whose client reads nothing, sent one key {MANY_ACKS} times"
            await ada.gets(message(2, "Linus", ""), likely=ACKS_UNLIMITED)
            await ada.gets(left("Linus"), likely=ACKS_UNLIMITED)

    @staticmethod
    async def _two_senders(subject: Subject) -> None:
        """Send messages of two members at the same time: each has an id of its own, in one order for all."""
        room = Members.room()
        async with back(subject, room, "Ada") as ada, back(subject, room, "Linus") as linus:
            await ada.gets(joined("Linus"), likely=NOTICES)
            for number in range(1, 7, 2):
                sent = [(ada, f"Ada {number}"), (linus, f"Linus {number}")]
                frames = [tab.send({"type": "message", "text": key, "key": key}) for tab, key in sent]
                await subject.simultaneously(*frames)
                orders = []
                for tab, key in sent:
                    tab.did = "a message with a key, at the same time as one of another member"
                    got: list[Any] = []
                    for _ in range(3):
                        expect = f"messages {number} and {number + 1}, and an ack"
                        got.append(await tab.next_object(expect=expect, likely=SAME_ID))
                    texts = [each for each in (key for _, key in sent) if message(number, each.split()[0], each) in got]
                    texts += [key for _, key in sent if key not in texts]
                    orders.append(texts)
                    wanted = [message(number + at, text.split()[0], text) for at, text in enumerate(texts)]
                    wanted.append(ack(key, number + texts.index(key)))
                    if any(each not in got for each in wanted):
                        shown = ", ".join(map(show, got))
                        raise Failure(sent=tab.did, got=shown, expect=expect, likely=SAME_ID)
                if orders[0] != orders[1]:
                    raise Failure(
                        sent=linus.did, got=f"the orders {orders[0]} and {orders[1]}", expect="one", likely=SAME_ID
                    )

    @check(2, "distinguishes similar keys, senders and rooms")
    async def test_similar(self, subject: Subject) -> None:
        room = pool.unique("x")
        found = keys()
        changed = (
            "Your code changes a key before it compares or sends it, so two keys are equal. Use the string unchanged."
        )
        cause = Likely(changed, wrong="", keys={"key": "", "id": changed})
        async with back(subject, room, "a") as ada:
            by_key = {key: kind for kind, key in found.items()}
            await send_keyed(ada, by_key, first=1, likely=cause, who="a")
            await ada.send_burst(*({"type": "message", "text": "again", "key": key} for key in by_key))
            for number, key in enumerate(by_key, 1):
                ada.did = f"{len(by_key)} known keys in one packet, one of them the key {quoted(key)}"
                await ada.gets(ack(key, number), likely=DUPLICATE)
            last = len(by_key)
            joining = {f"b{separator}c": "x" for separator in SEPARATORS}
            await send_keyed(ada, joining, first=last + 1, likely=cause, who="a")
            last += len(joining)
            senders = [("a", key) for key in (*by_key, *joining)]
        base = pool.names()["composed characters"]
        names = {f"a{separator}b": f"a joined with {quoted(separator)}" for separator in SEPARATORS}
        names |= {"n" * 20: "as long as allowed", "n" * 19 + "m": "with another end"}
        names |= {base: "itself"} | {name: f"similar to {quoted(base)}" for name in pool.neighbors(base)[:12]}
        for name in [*names, "A", " a"]:
            async with back(subject, room, name) as tab:
                last += 1
                await tab.send({"type": "message", "text": "x", "key": "c"})
                tab.did = f"the key c from {quoted(name)}, when other senders have used c, b:c and so on"
                likely = (
                    "Your code treats two senders or keys as the same one. Use the tuple (name, key) as the key of a "
                    "dict: don't join the strings, and don't change them."
                )
                senders.append((name, "c"))
                await both(tab, message(last, name, "x"), ack("c", last), likely=likely, senders=senders)
        likely = (
            "Your code treats two rooms or senders as the same one. Keep the keys in a dict of each room, by "
            "(name, key): don't join the strings."
        )
        for separator in SEPARATORS:
            if separator != "/":
                async with back(subject, f"{room}{separator}a", "b") as tab:
                    await tab.send({"type": "message", "text": "x", "key": "c"})
                    tab.did = f"the key c from b in the room {quoted(f'{room}{separator}a')}, a new room"
                    await both(tab, message(1, "b", "x"), ack("c", 1), likely=Likely(likely, wrong=likely))

    @check(2, "knows the last 1000 keys of a room, and no older ones")
    async def test_many_keys(self, subject: Subject) -> None:
        room, quiet = Members.room(), Members.room("quiet")
        async with (
            back(subject, quiet, "Ada") as other,
            back(subject, room, "Grace") as grace,
            back(subject, room, "Ada") as ada,
        ):
            await grace.gets(joined("Ada"), likely=NOTICES)
            await other.send({"type": "message", "text": "", "key": "k0"})
            await both(other, message(1, "Ada", ""), ack("k0", 1))
            await grace.send({"type": "message", "text": "", "key": "first"})
            await both(grace, message(1, "Grace", ""), ack("first", 1))
            await ada.gets(message(1, "Grace", ""), likely=NOTICES)
            await grace.leave()
            await ada.gets(left("Grace"), likely=NOTICES)
            # Send some without a key between: the window counts keys, not messages.
            frames = [{"type": "message", "text": "", "key": f"k{number}"} for number in range(WINDOW + 3)]
            frames[500:500] = [{"type": "message", "text": ""}] * 5
            ids = {each["key"]: number for number, each in enumerate(frames, 2) if "key" in each}
            await acknowledged(ada, frames)
            last = len(frames) + 1
            # Now the window is k3 to k1002.
            for newer, likely in ((0, CLEARED), (50, CLEARED), (200, WITH_MESSAGES)):
                key = f"k{WINDOW + 2 - newer}"
                await self._known(ada, key, ids[key], f"{newer} keys are newer", likely)
            await self._new(ada, "Ada", "k0", last + 1, "1002 keys were newer", NEVER)
            await self._new(ada, "Ada", "k3", last + 2, "1000 keys were newer", TOO_LATE)
            # Five messages have no key. They displace this key from a window of messages, and not from one of keys.
            await self._known(ada, "k8", ids["k8"], "996 keys are newer", COUNTS_MESSAGES)
            await self._known(ada, "k5", ids["k5"], "999 keys are newer", TOO_SOON)
            async with back(subject, room, "Grace") as grace:
                await ada.gets(joined("Grace"), likely=NOTICES)
                await self._new(grace, "Grace", "first", last + 3, "1005 keys of Ada were newer", EACH_SENDER)
                await ada.gets(message(last + 3, "Grace", ""), likely=NOTICES)
            await ada.gets(left("Grace"), likely=NOTICES)
            await self._new(ada, "Ada", "k5", last + 4, "1000 keys were newer, but it was sent again before", RENEWED)
            await self._known(other, "k0", 1, "it's the only key of its room", ALL_ROOMS)

    @staticmethod
    async def _known(tab: Client, key: str, number: int, why: str, likely: str) -> None:
        await tab.send({"type": "message", "text": "", "key": key})
        tab.did = f"the key {key} again; {why}"
        await tab.gets(ack(key, number), likely=Likely(SILENT, wrong=likely, keys={"id": likely}, surplus=likely))

    @staticmethod
    async def _new(tab: Client, name: str, key: str, number: int, why: str, likely: str) -> None:
        await tab.send({"type": "message", "text": "", "key": key})
        tab.did = f"the key {key}; {why}"
        await both(tab, message(number, name, ""), ack(key, number), likely=Likely(likely, wrong=likely))


def _surplus_key(value: Any, got: str) -> str:
    """Return the likely cause if the error of this message has a key, or a retry, and the message has no valid key."""
    if '"key"' not in got:
        return WITH_KEY
    if re.search(r'"key": ?(null|"")', got):
        return EMPTY_KEY
    if not isinstance(value, dict) or value.get("type") != "message":
        return OTHER_TYPE
    key = value["key"]
    if not isinstance(key, str):
        found = "The key isn't a string"
    elif len(key) > 64:
        found = f"The key has {len(key):,} characters"
    else:
        found = "The key has half an emoji"
    return BAD_KEY.format(found=found)
