"""TODO 3: direct messages."""

from judge import pool
from judge.clients import Client
from judge.members import said
from judge.model import Failure, Likely, check
from judge.sessions import Room, show_name
from judge.subject import Subject

DIRECT = Likely(
    silence="The member doesn't get the direct message. Look up its tabs by to in this room, and send to all of them.",
    keys={"from": "from isn't the sender's name. Use the endpoint's own parameter name, whatever the client writes."},
    elsewhere="The direct message goes to another tab. Look up the tabs by to, in the room of the sender.",
    closed="Your endpoint ends at a direct message.",
)
TO_OTHERS = "A direct message, or its error, goes to tabs that it isn't for. Send it to the tabs of to alone."
NO_COPY = "The sender gets a copy of its direct message. Send it to the tabs of to alone."
SEPARATORS = (":", "|", "-", " ", "_")


def direct(sender: str, text: str) -> dict[str, str]:
    """Return a direct message as its recipient receives it."""
    return {"type": "direct", "from": sender, "text": text}


async def whisper(
    room: Room, sender: Client, to: str, text: str, *, message: str | None = None, likely: Likely = DIRECT
) -> None:
    """Send a direct message, and check that every tab of that name gets it, and no other tab."""
    await sender.send(message if message is not None else {"type": "direct", "to": to, "text": text})
    name, action = room.tabs[sender], sender.did
    await room.receive(direct(name, text), room.of(to), f"{action}, from {sender.who}", likely=likely)
    room.expect_nothing(room.others(to), f"{action}, from {sender.who}", TO_OTHERS)
    if name != to:
        room.expect_nothing([sender], action, NO_COPY)


async def is_missing(room: Room, sender: Client, to: str, *, likely: Likely) -> None:
    """Send a direct message to an absent name, and check that the sender gets one error, and other tabs nothing."""
    await sender.send({"type": "direct", "to": to, "text": "hello?"})
    try:
        await sender.gets_error(likely=likely)
    except Failure as failure:
        # Another tab has received the direct message.
        if 'received the text "{' in failure.got:
            failure.likely = likely.wrong
        raise
    room.expect_nothing(list(room.tabs), f"a direct message to {show_name(to)}, which isn't in the room", likely.wrong)


class Direct:
    """Direct messages."""

    @check(3, "sends a direct message to its member alone, unchanged")
    async def test_direct(self, subject: Subject) -> None:
        async with Room(subject) as room, Room(subject) as lab:
            ada, grace, linus = [await room.enter(name) for name in ("Ada", "Grace", "Linus")]
            elsewhere = [await lab.enter(name) for name in ("Zoe", "Edsger")]
            await whisper(room, ada, "Grace", "psst")
            await room.say(linus, "after a direct message")
            await whisper(room, ada, "Grace", "psst", likely=Likely("An equal direct message isn't sent again."))
            itself = "A direct message to oneself isn't sent. Ada is a member like the others."
            await whisper(room, ada, "Ada", "note to self", likely=Likely(itself))
            await room.say(linus, "after a note to self")
            for kind, text in pool.texts(long=False).items():
                refused = f"A text of this kind is refused, or not sent: {kind}. Accept and send every string."
                await whisper(room, ada, "Grace", text, likely=Likely(silence=refused, wrong=refused))
            for kind, spelling in pool.spellings({"type": "direct", "to": "Grace", "text": "Straße 1"}).items():
                if "further key" in kind:
                    # These have another key `to` in a nested object, and no second one at the top level.
                    parse = "A direct message with further keys is refused. Ignore keys that you don't need."
                else:
                    parse = f"Your code compares text instead of parsing JSON: this is the same object, {kind}."
                await whisper(room, linus, "Grace", "Straße 1", message=spelling, likely=Likely(parse, wrong=parse))
            copied = "Your code uses or copies a key that the client adds. Send exactly type, from and text."
            extra = '{"type": "direct", "to": "Grace", "text": "extra", "from": "Linus", "id": 7, "name": "Linus"}'
            cause = Likely(copied, wrong=copied, keys=DIRECT.keys)
            await whisper(room, ada, "Grace", "extra", message=extra, likely=cause)
            await room.say(linus, "that is all")
            lab.expect_nothing(elsewhere, "direct messages in another room", "Other rooms are searched for the name.")
            await lab.say(elsewhere[0], "here")
            await lab.end()
            await room.end()

    @check(3, "compares names exactly, and answers a missing one with an error to the sender alone")
    async def test_similar(self, subject: Subject) -> None:
        async with Room(subject) as room, Room(subject) as lab:
            ada, grace = await room.enter("Ada"), await room.enter("Grace")
            elsewhere = await lab.enter("Zoe")
            missing = [*pool.neighbors("Grace"), "@Grace", "#Grace", "Gr", "", "*", "all", "Zoe", "Grace, Ada"]
            for number, name in enumerate(missing):
                taken = f"A direct message to {show_name(name)} reaches another member. Compare names exactly."
                if name == "Zoe":
                    taken = "Other rooms are searched for the name. Look it up in the sender's room."
                silence = f"{show_name(name)} isn't in the room, and the sender gets no error. Send it to this tab."
                likely = Likely(silence, wrong=taken, elsewhere=taken, closed="Your endpoint ends at a missing name.")
                await is_missing(room, ada, name, likely=likely)
                if number % 4 == 0 or name == "Zoe":
                    await room.say(grace, f"after a direct message to {name}")
            lab.expect_nothing([elsewhere], "direct messages in another room", "Other rooms are searched for the name.")
            await lab.say(elsewhere, "here")
            await lab.end()
            await room.end()
        async with Room(subject) as room:
            ada = await room.enter("Ada")
            for kind, name in pool.names().items():
                changed = f"A name of this kind isn't found: {kind}. Compare to with the names exactly as they are."
                tab = await room.enter(name)
                await whisper(room, ada, name, "for you", likely=Likely(changed, wrong=changed))
                sent = f"from isn't the exact name of the sender: {kind}."
                await whisper(room, tab, "Ada", "from me", likely=Likely(changed, wrong=sent))
                await room.leave(tab)
            await room.end()

    @check(3, "answers direct messages and others of one packet, in their order")
    async def test_mixed_burst(self, subject: Subject) -> None:
        async with Room(subject) as room:
            ada, grace = await room.enter("Ada"), await room.enter("Grace")
            requests = (
                {"type": "direct", "to": "Grace", "text": "one"},
                {"type": "direct", "to": "Linus", "text": "two"},
                {"type": "message", "text": "three"},
                "no JSON",
                {"type": "direct", "to": "Ada", "text": "five"},
                {"type": "direct", "to": "Grace", "text": "six"},
            )
            await ada.send_burst(*requests)
            lost = "Of messages that arrive together, one isn't answered. Answer each one before you read the next."
            likely = Likely(lost, order="Answers overtake each other. Answer each one before you read the next.")
            for answer in (None, said("Ada", "three"), None, direct("Ada", "five")):
                await (ada.gets(answer, likely=likely) if answer else ada.gets_error(likely=likely))
            grace.did = ada.did
            await grace.gets_all([direct("Ada", "one"), said("Ada", "three"), direct("Ada", "six")], likely=likely)
            await room.end()

    @check(3, "keeps apart what only a separator would join: the room a:b with c, and a with b:c")
    async def test_apart(self, subject: Subject) -> None:
        for separator in SEPARATORS:
            stem = Room(subject).name
            async with Room(subject, f"{stem}{separator}b") as room, Room(subject, stem) as other:
                pair = f"the room {room.name!r} with the member 'c', and {stem!r} with 'b{separator}c'"
                mixed = f"Your code takes two pairs for one: {pair}. Use a dict of dicts, or a tuple as a key."
                likely = Likely(mixed, wrong=mixed, elsewhere=mixed)
                first = await room.enter("c", listed=likely)
                second = await other.enter(f"b{separator}c", listed=likely)
                await whisper(room, first, "c", "to c", likely=likely)
                other.expect_nothing([second], "a direct message in another room", mixed)
                await whisper(other, second, f"b{separator}c", "to the other", likely=likely)
                await room.leave(first, likely=likely)
                await other.say(second, "here", likely=likely)
