"""Step 08, TODO 2: acknowledgements, and idempotency keys."""

from judge.members import BAD, Members, message
from judge.model import check
from judge.rejoining import REPLAY, ack, back, both, replayed, say, send_all
from judge.subject import Subject
from judge.tasks import spawn

ONCE = "the key of a sender in a room stands for one message: look it up before anything else"


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
            for number, key in enumerate(("k", "K" * 64, "열쇠", "a b"), 1):
                await ada.send({"type": "message", "text": f"text {number}", "key": key})
                await both(ada, message(number, "Ada", f"text {number}"), ack(key, number))
                for tab in (grace, other):
                    tab.did = "a message of Ada with a key"
                    likely = "the ack goes to the socket that sent the message, and the key to nobody else"
                    await tab.gets(message(number, "Ada", f"text {number}"), likely=replayed(likely))
            await say(ada, "no key", first=5, likely="a message without a key gets no acknowledgement")
            bad = [{"key": ""}, {"key": "k" * 65}, {"key": 1}, {"key": ["k"]}, {"key": {}}]
            for frame in [*({"type": "message", "text": "x"} | each for each in bad), *BAD]:
                await ada.send(frame)
                await ada.gets_error(
                    likely="a key is a text of 1 to 64 characters; what is bad gets an error and no id"
                )
            await say(ada, "still here", first=6)
            for number, text in ((5, "no key"), (6, "still here")):
                for tab in (grace, other):
                    likely = "an ack or an error goes to others too"
                    await tab.gets(message(number, "Ada", text), likely=replayed(likely))

    @check(2, "passes a message on once, however often its key comes")
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
