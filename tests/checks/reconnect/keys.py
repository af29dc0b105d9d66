"""Step 08, TODO 2: acknowledgements, errors with a key, and idempotency keys."""

import json
from typing import Any

from judge.members import BAD, Members, message
from judge.model import Likely, check
from judge.rejoining import REPLAY, ack, back, both, replayed, say, send_all
from judge.subject import Subject
from judge.tasks import spawn

ONCE = "the key of a sender in a room stands for one message: look it up before anything else"
BAD_TEXTS: tuple[dict[str, Any], ...] = ({}, {"text": None}, {"text": 1}, {"text": ["x"]}, {"text": "\ud83d"})
"""The fields that replace the text of a valid message. The last text is half an emoji, which UTF-8 can't encode."""
BAD_KEYS: tuple[Any, ...] = ("", "k" * 65, 1, ["k"], {}, "\ud83d")
FINAL = Likely(
    "A bad message isn't answered to its sender. Send an error to the connection that sent it.",
    wrong="A bad message is answered with something else than an error. Check its text before you use its key.",
    keys={
        "key": "The error lacks the key, or has another one, so the client doesn't know which message is bad. Read the "
        "key of the bad message with key_of(), and send it in the error.",
        "retry": 'Without "retry": false in the error, the client sends the bad message again and again. '
        "Call error() with retry=False.",
    },
)
NO_KEY = Likely(
    "A message with a bad key, or one that can't be read, isn't answered. Send an error to its sender's connection.",
    wrong="A message with a bad key is accepted. A key is a string of 1 to 64 characters: check that first.",
    keys=dict.fromkeys(
        ("key", "retry"),
        "The error has a key, though its message has no valid one. Send the key and retry only if the key is a string "
        "of 1 to 64 characters.",
    ),
)


class Keys:
    @check(2, "acknowledges a message that has a key, and no other")
    async def test_ack(self, subject: Subject) -> None:
        room = Members.room()
        async with (
            back(subject, room, "Grace") as grace,
            back(subject, room, "Ada") as other,
            back(subject, room, "Ada") as ada,
        ):
            await grace.gets({"type": "joined", "name": "Ada"}, likely=REPLAY)
            for number, key in enumerate(("k", "K" * 64, "열" * 64, "a b"), 1):
                await ada.send({"type": "message", "text": f"text {number}", "key": key})
                long = "The length of a key is counted in bytes. Count its characters." * (key == "열" * 64)
                await both(ada, message(number, "Ada", f"text {number}"), ack(key, number), likely=long)
                for tab in (grace, other):
                    tab.did = "a message of Ada with a key"
                    likely = "the ack goes to the socket that sent the message, and the key to nobody else"
                    await tab.gets(message(number, "Ada", f"text {number}"), likely=replayed(likely))
            await say(ada, "no key", first=5, likely="a message without a key gets no acknowledgement")
            for tab in (grace, other):
                await tab.gets(message(5, "Ada", "no key"), likely=replayed("an ack goes to others too"))

    @check(2, "answers an invalid message with its key and retry false, or without an invalid key")
    async def test_errors(self, subject: Subject) -> None:
        room = Members.room()
        async with (
            back(subject, room, "Grace") as grace,
            back(subject, room, "Ada") as other,
            back(subject, room, "Ada") as ada,
        ):
            await grace.gets({"type": "joined", "name": "Ada"}, likely=REPLAY)
            for number, bad in enumerate(BAD_TEXTS):
                key = f"열쇠 {number}"
                # Send JSON with escapes, because UTF-8 can't encode half an emoji.
                await ada.send(json.dumps({"type": "message", "key": key} | bad))
                await ada.gets_error({"key": key, "retry": False}, likely=FINAL)
            for bad in BAD_KEYS:
                for text in ("x", 1):
                    await ada.send(json.dumps({"type": "message", "text": text, "key": bad}))
                    await ada.gets_error(likely=NO_KEY)
            for frame in BAD:
                await ada.send(frame)
                await ada.gets_error(likely=NO_KEY)
            await ada.send({"type": "message", "text": "good", "key": "열쇠 0"})
            ada.did = "a good message with the key of a bad one"
            used = "A bad message uses its key or an id up. Take an id and keep the key only for what you accept."
            await both(ada, message(1, "Ada", "good"), ack("열쇠 0", 1), likely=used)
            for tab in (grace, other):
                tab.did = "many bad messages of Ada, and then a good one"
                likely = "The error goes to other connections too. Send it only to the one that sent the bad message."
                await tab.gets(message(1, "Ada", "good"), likely=replayed(likely, wrong=likely))

    @check(2, "broadcasts a message once, however often its key arrives")
    async def test_once(self, subject: Subject) -> None:
        room, lab = Members.room(), Members.room("lab")
        async with back(subject, room, "Grace") as grace:
            async with back(subject, room, "Ada") as ada:
                await ada.send({"type": "message", "text": "hello", "key": "k"})
                await both(ada, message(1, "Ada", "hello"), ack("k", 1))
                grace.after = "a message of Ada with a key, and no message before"
                for value in ({"type": "joined", "name": "Ada"}, message(1, "Ada", "hello")):
                    await grace.gets(value, likely=REPLAY)
                for text in ("hello", "another text"):
                    await ada.send({"type": "message", "text": text, "key": "k"})
                    await ada.gets(ack("k", 1), likely=ONCE)
            async with back(subject, room, "Ada") as again, back(subject, lab, "Ada") as elsewhere:
                await again.send({"type": "message", "text": "hello", "key": "k"})
                again.did = "the same key again, on a new connection"
                await again.gets(ack("k", 1), likely=ONCE)
                await elsewhere.send({"type": "message", "text": "here", "key": "k"})
                elsewhere.did = "the same key in another room"
                rooms = f"{ONCE}; and look for room, sender and key together"
                await both(elsewhere, message(1, "Ada", "here"), ack("k", 1), likely=rooms)
                grace.after = grace.earlier = (
                    "Ada sent one key three times, then left and sent it from a new connection"
                )
                for kind in ("left", "joined"):
                    await grace.gets({"type": kind, "name": "Ada"}, likely=replayed(ONCE))
                grace.after = grace.earlier = None
                await grace.send({"type": "message", "text": "mine", "key": "k"})
                grace.did = "the same key from another sender"
                senders = f"{ONCE}; and look for room, sender and key together"
                await both(grace, message(2, "Grace", "mine"), ack("k", 2), likely=senders)
                await again.gets(message(2, "Grace", "mine"), likely="a key of one sender is none of another one's")

    @check(2, "knows the last 1000 keys of a room")
    async def test_many_keys(self, subject: Subject) -> None:
        room = Members.room()
        many = 1005
        async with back(subject, room, "Ada") as ada:
            sending = spawn(
                send_all(ada, [{"type": "message", "text": "", "key": f"k{number}"} for number in range(many)])
            )
            acks: dict[str, int] = {}
            while len(acks) < many:
                value = await ada.next_object(expect=f"{many} acknowledgements", likely="each key gets one")
                if isinstance(value, dict) and value.get("type") == "ack":
                    acks[value.get("key")] = value.get("id")
            await sending
            for number in (many - 1000, many - 999, many // 2, many - 1):
                await ada.send({"type": "message", "text": "", "key": f"k{number}"})
                ada.did = f"key number {number + 1} of {many} again"
                await ada.gets(
                    ack(f"k{number}", number + 1), likely="keys are forgotten too soon, such as with the last 100"
                )
