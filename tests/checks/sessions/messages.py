"""TODO 2: messages to the room, and errors."""

import contextlib
import time

from judge import pool
from judge.clients import Client
from judge.members import Members, left, said
from judge.messages import is_error, is_message, show
from judge.model import Failure, Likely, check
from judge.sessions import ENDS, MESSAGE, PAUSE, Room, interleaved, pause, read_on
from judge.subject import Subject

PARSE = "parse() returns None for it: send an error to this tab, and go on with the loop."
TEXT = "Accept a text only if it's a string, as parse() does, without converting it."
BAD: dict[str | bytes, tuple[str, str]] = {
    "hello": ("a text that isn't JSON", PARSE),
    "": ("an empty text message", PARSE),
    " ": ("a blank", PARSE),
    '{"type": "message", "text": ': ("JSON that is cut", PARSE),
    '{"type": "message", "text": "a"} {"type": "message", "text": "b"}': ("two objects in one message", PARSE),
    "[]": ("a list", PARSE),
    '[{"type": "message", "text": "in a list"}]': ("a message in a list", PARSE),
    '"message"': ("a string", PARSE),
    "null": ("null", PARSE),
    "1": ("a number", PARSE),
    "{}": ("an empty object", PARSE),
    '{"text": "hello"}': ("a type that is missing", PARSE),
    '{"type": "whisper", "text": "hello"}': ("an unknown type", PARSE),
    '{"type": "Message", "text": "hello"}': ("a type with a capital letter", PARSE),
    '{"type": "messages", "text": "hello"}': ("a type that begins like a known one", PARSE),
    '{"type": "joined", "name": "Ada"}': ("a notice, which only the server sends", PARSE),
    '{"type": null, "text": "hello"}': ("a type that is null", PARSE),
    '{"type": ["message"], "text": "hello"}': ("a type that is a list", PARSE),
    '{"type": {"message": 1}, "text": "hello"}': ("a type that is an object", PARSE),
    '{"type": "message"}': ("a text that is missing", TEXT),
    '{"type": "message", "Text": "hello"}': ("a text under another key", TEXT),
    '{"type": "message", "text": null}': ("a text that is null", TEXT),
    '{"type": "message", "text": 1}': ("a text that is a number", TEXT),
    '{"type": "message", "text": false}': ("a text that is false", TEXT),
    '{"type": "message", "text": ["hello"]}': ("a text that is a list", TEXT),
    '{"type": "message", "text": {"a": "b"}}': ("a text that is an object", TEXT),
    b"\x00\x01": ("a binary frame", PARSE),
    b"": ("an empty binary frame", PARSE),
    b'{"type": "message", "text": "hello"}': ("a message in a binary frame", PARSE),
    '{"type": "direct", "text": "hello"}': ("a direct message without to", TEXT),
    '{"type": "direct", "to": "Ada"}': ("a direct message without a text", TEXT),
    '{"type": "direct", "to": null, "text": "hello"}': ("a direct message to null", TEXT),
    '{"type": "direct", "to": ["Ada"], "text": "hello"}': ("a direct message to a list", TEXT),
    '{"type": "direct", "to": 1, "text": "hello"}': ("a direct message to a number", TEXT),
    '{"type": "direct", "to": "Ada", "text": 1}': ("a direct message whose text is a number", TEXT),
}
TOGETHER = (
    "Messages that arrive together get lost: a limit on their rate, or a queue with a limit. Make asks for neither."
)
ORDER = "Messages of one sender overtake each other. Send each one before you read the next, without tasks."
LAST = (
    "A message is lost if its sender disconnects right after it. Finish the sends of a message in any case: cancel "
    "none, and guard each one, because the send to the sender itself may raise."
)
EACH_SEND = (
    "A send to a disconnected tab raises in another member's endpoint and ends it, or ends the loop over the others. "
    "Catch WebSocketDisconnect and RuntimeError around each single send, and go on with the next tab."
)
SLOW = (
    "A tab that reads slowly loses messages: your code limits the time of a send, or skips a tab that another send "
    "waits for. Wait for every send."
)
DEEP = "[" * 100_000 + "]" * 100_000
STRANGE = {
    '{"type": "message", "text": "x", "n": ' + "9" * 5000 + "}": "a number of 5,000 digits",
    '{"type": "message", "text": "x", "more": ' + DEEP + "}": "a key that is nested 100,000 deep",
    '{"type": "message", "text": "\\ud83d"}': "half an emoji",
}
STRANGER = STRANGE | {
    '{"type": "direct", "to": "\\ud83d", "text": "x"}': "a direct message to half an emoji",
    '{"type": "message", "text": "x", "\\udc00": 1}': "half an emoji as a key",
    "[" * 100_000: "100,000 opening brackets",
    '{"type": "message", "text": "x", "n": 1e999}': "a number that is too big for a float",
    '{"type": "message", "text": "x", "n": NaN}': "NaN, which Python writes and JSON doesn't have",
}


class Messages:
    """Messages to the room, and errors."""

    long = True
    """Whether a text of a million characters is one of the texts."""

    @check(2, "broadcasts a message to all tabs in the room, with its sender's name and its exact text")
    async def test_message(self, subject: Subject) -> None:
        async with Room(subject) as room, Room(subject) as lab:
            ada, grace = await room.enter("Ada"), await room.enter("Grace")
            elsewhere = await lab.enter("Linus")
            await room.say(ada, "hello")
            again = "An equal text isn't sent again. Send every message, also a repeated one."
            await room.say(ada, "hello", what="the same text again", likely=Likely(again))
            for text in ("/help", "/", "@Grace hello", "!quit", "#lobby", "."):
                command = f"{show(text)} is taken for a command. Make has no commands: broadcast every text."
                await room.say(ada, text, likely=Likely(silence=command, wrong=command))
            for kind, text in pool.texts(long=self.long).items():
                refused = f"A text of this kind is refused, or not sent: {kind}. Accept and send every string."
                if not text:
                    refused = "An empty text is taken for a missing one. An empty string is a text."
                await room.say(ada, text, likely=Likely(silence=refused, wrong=refused))
            for kind, spelling in pool.spellings({"type": "message", "text": "Straße 1"}).items():
                parse = f"Your code compares text instead of parsing JSON: this is the same object, {kind}."
                if "further key" in kind:
                    parse = "A message with further keys is refused. Ignore keys that you don't need."
                await room.say(
                    grace, "Straße 1", message=spelling, what=kind, likely=Likely(silence=parse, wrong=parse)
                )
            for extra in (
                {"from": "Linus"},
                {"from": 1, "to": "Grace", "id": None},
                {"name": "Linus", "id": 7, "room": lab.name, "room_id": lab.name},
            ):
                copied = "Your code uses or copies a key that the client adds. Send exactly type, from and text."
                cause = Likely(copied, wrong=copied, keys={"from": MESSAGE.keys["from"]})
                message = pool.spellings({"type": "message", "text": "extra"} | extra)["as Python writes it"]
                await room.say(ada, "extra", message=message, likely=cause)
            lab.expect_nothing([elsewhere], "messages in another room", "A message goes to other rooms too.")
            await lab.say(elsewhere, "here")
            await lab.end()
            await room.end()

    @check(2, "answers each bad frame with one error, to that tab alone, and goes on")
    async def test_bad(self, subject: Subject) -> None:
        async with Room(subject) as room:
            ada = await room.enter("Ada")
            grace = await room.enter("Grace")
            await room.say(ada, "before")
            for number, (frame, (what, fix)) in enumerate(BAD.items(), start=1):
                await ada.send(frame)
                ada.did = f"{what}: {show(frame)}"
                try:
                    await ada.gets_error(likely=self._bad(what, fix))
                except Failure as failure:
                    if "closed" in failure.got and await self._answers(room, frame):
                        failure.likely = (
                            f"Your endpoint ends after {number} bad frames: alone, this one is answered. Make doesn't "
                            "limit the errors, so go on with the loop."
                        )
                    raise
                only = "An error is sent to other tabs too. Send it to the connection that the bad frame came from."
                room.expect_nothing([grace], f"{what}, from another tab", only)
                twice = "A bad frame is answered with more than one message. Send one error."
                room.expect_nothing([ada], ada.did, twice)
                if number % 5 == 1:
                    after = "After errors, a message isn't sent to all tabs. Go on with the loop as before."
                    await room.say(ada, f"after {number} errors", likely=Likely(after))
            await room.end()

    @staticmethod
    async def _answers(room: Room, frame: str | bytes) -> bool:
        """Return whether an invalid message is answered if it's the first one of a new tab."""
        with contextlib.suppress(Failure):
            async with room.subject.client(Members.path(f"{room.name}-alone", "Ada")) as tab:
                await tab.next(expect="the list", likely="")
                await tab.send(frame)
                await tab.gets_error(likely="")
                return True
        return False

    @staticmethod
    def _bad(what: str, fix: str) -> Likely:
        return Likely(
            silence=f"Nothing answers {what}. {fix}",
            wrong=f"Your code accepts {what}. {fix}",
            closed=f"Your endpoint ends at {what}. {fix}",
            elsewhere="The error goes to another tab. Send it to the connection that the bad frame came from.",
        )

    @check(2, "loses no message when members disconnect")
    async def test_vanished(self, subject: Subject) -> None:
        for end in ENDS:
            async with Room(subject) as room:
                # The order matters: the room's first and last members disconnect, and some in its middle.
                names = ("Linus 1", "Ada", "Linus 2", "Linus 3", "Grace", "Linus 4")
                for name in names:
                    await room.enter(name)
                ended = [tab for tab, name in room.tabs.items() if name.startswith("Linus")]
                ada = room.of("Ada")[0]
                texts = [f"text {number}" for number in range(3)]
                talk = ada.send_burst(*({"type": "message", "text": text} for text in texts))
                # At the same time, so that sends reach disconnected tabs whose endpoints haven't detected it.
                await subject.simultaneously(*(getattr(tab, end)() for tab in ended), talk)
                room.forget(ended)
                ada.did = ada.who + " sent three messages"
                for tab in room.tabs:
                    tab.did = f"three messages of Ada, while four members sent {ended[0].did}"
                    notices = [[{"type": "left", "name": f"Linus {number}"}] for number in range(1, 5)]
                    messages = [said("Ada", text) for text in texts]
                    await interleaved(tab, *notices, messages, likely=Likely(EACH_SEND, order=ORDER))
                await room.say(ada, "still here", likely=Likely(EACH_SEND))
                await room.end()

    @check(2, "delivers the message right before a close frame")
    async def test_last_message(self, subject: Subject) -> None:
        async with Room(subject) as room:
            await room.enter("Zoe")
            await room.enter("Grace")
            for number in range(4):
                linus = await room.enter("Linus")
                texts = [f"last words {number}.{place}" for place in range(1 + number)]
                await linus.send_burst(*({"type": "message", "text": text} for text in texts), close=True)
                del room.tabs[linus]
                for tab in room.tabs:
                    tab.did = "messages and a close frame from Linus in one packet"
                    likely = Likely(silence=LAST, wrong=LAST, order=LAST)
                    expected = [*(said("Linus", text) for text in texts), {"type": "left", "name": "Linus"}]
                    await tab.gets_all(expected, likely=likely)
            await room.end()

    @check(2, "delivers 400 messages of one packet to every tab, in their order")
    async def test_burst(self, subject: Subject) -> None:
        async with Room(subject) as room:
            ada, grace = await room.enter("Ada"), await room.enter("Grace")
            texts = [f"burst {number}" for number in range(1, 401)]
            await ada.send_burst(*({"type": "message", "text": text} for text in texts))
            likely = Likely(silence=TOGETHER, wrong=TOGETHER, closed=TOGETHER, order=ORDER, certain=True)
            for tab in room.tabs:
                tab.did = "400 messages from Ada in one packet"
                await tab.gets_all([said("Ada", text) for text in texts], likely=likely)
            # Mix valid and invalid messages: they must be answered in order.
            requests = (
                {"type": "message", "text": "one"},
                "no JSON",
                {"type": "message", "text": "two"},
                b"binary",
                {"type": "message", "text": "three"},
            )
            await ada.send_burst(*requests)
            answers = (said("Ada", "one"), None, said("Ada", "two"), None)
            mixed = Likely("Of messages that arrive together, one isn't answered. " + ORDER, order=ORDER)
            for answer in (*answers, said("Ada", "three")):
                await (ada.gets(answer, likely=mixed) if answer else ada.gets_error(likely=mixed))
            grace.did = ada.did
            await grace.gets_all([said("Ada", text) for text in ("one", "two", "three")], likely=mixed)
            await room.end()

    @check(2, "lets a tab that pauses miss nothing when it reads on", pauses=True)
    async def test_pause(self, subject: Subject) -> None:
        async with Room(subject) as room:
            zoe = await room.enter("Zoe", tiny=True)
            ada, grace, linus, eve = [await room.enter(name) for name in ("Ada", "Grace", "Linus", "Eve")]
            zoe.stop_reading()
            since = time.monotonic()
            async with room.flood(ada) as flood:
                texts = {linus: ["meanwhile", "and once more"], grace: ["me too"]}
                for tab, more in texts.items():
                    await tab.send_burst(*({"type": "message", "text": text} for text in more))
                # A loop over the members must continue after this one has disconnected.
                await eve.reset()
                room.forget([eve])
                await pause(since + 0.2)
                read_on(zoe)
                said_meanwhile = [[said(room.tabs[tab], text) for text in more] for tab, more in texts.items()]
                for tab in room.tabs:
                    tab.did = "messages of three members, while Zoe doesn't read and Eve disconnects"
                    tab.after = f"Zoe paused for {PAUSE:g} s, and reads on"
                    sequences = [flood.messages, *said_meanwhile, [left("Eve")]]
                    try:
                        await interleaved(tab, *sequences, likely=Likely(SLOW, order=ORDER))
                    except Failure as failure:
                        # If an endpoint has ended, that's the cause, whichever messages its clients then miss.
                        failure.broken |= "Ada" in failure.got and '"left"' in failure.got
                        raise
                    tab.after = None
            await room.say(zoe, "here I am", likely=Likely(SLOW))
            await room.end()

    @check(2, "swallows no message without an answer")
    async def test_swallowed(self, subject: Subject) -> None:
        # Whether an error ends the connection is a hard case, so this server's log isn't judged.
        async with subject.another(noisy=True) as own:
            for message, what in STRANGE.items():
                async with Room(own) as room:
                    ada = await room.enter("Ada")
                    await ada.send(message)
                    await ada.send({"type": "message", "text": "after"})
                    ada.did = f"{what}: {show(message)}, and then a message"
                    try:
                        frame = await ada.next(expect="an answer", likely="")
                    except Failure as failure:
                        if "closed" in failure.got:
                            continue
                        raise
                    if is_message(frame, said("Ada", "after")):
                        raise Failure(
                            sent=ada.did,
                            got=f"only the second message, {show(frame)}",
                            expect="the first message too, or an error",
                            likely=f"Your code catches what {what} raises, and sends nothing. Send an error.",
                        )

    @check(2, "answers half an emoji, deep JSON and huge numbers, and goes on", hard=True)
    async def test_strange(self, subject: Subject) -> None:
        for message, what in STRANGER.items():
            async with Room(subject) as room:
                ada, grace = await room.enter("Ada"), await room.enter("Grace")
                await room.say(ada, "before")
                await ada.send(message)
                ada.did = f"{what}: {show(message)}"
                frame = await ada.next(
                    expect="the message to all tabs or an error, and the connection still open",
                    likely=Likely(
                        silence=f"Nothing answers {what}. Catch the exception that it raises, and send an error.",
                        closed=f"{what[0].upper()}{what[1:]} raises an exception that ends the connection. Catch it "
                        "where you parse, and send an error: deep JSON raises RecursionError, a RuntimeError.",
                    ),
                )
                if not is_error(frame):
                    await self._same_elsewhere(grace, frame, ada.did)
                await room.say(ada, "after")

    @staticmethod
    async def _same_elsewhere(grace: Client, frame: str | bytes, did: str) -> None:
        grace.did = did
        likely = "Some tabs get this message and others don't. Check that it can be sent before the first send."
        other = await grace.next(expect=show(frame), likely=likely)
        if other != frame:
            raise Failure(sent=did, got=show(other), expect=show(frame), likely=likely)

    @check(2, "answers the 300th error, and still delivers", hard=True)
    async def test_many_errors(self, subject: Subject) -> None:
        async with Room(subject) as room:
            ada = await room.enter("Ada")
            await room.enter("Grace")
            await ada.send_burst(*["no JSON"] * 300)
            for number in range(300):
                ada.after = f"{number} bad frames were answered"
                await ada.gets_error(likely="Your endpoint stops after a number of errors. Make has no limit.")
            ada.after = None
            await room.say(ada, "after 300 errors")
            await room.end()
