"""TODO 4: one name in several tabs."""

from dataclasses import replace

from judge.members import Members, joined, left
from judge.model import Likely, check
from judge.sessions import ENDS, JOINED, LEFT, LIST, Room, interleaved, read_on
from judge.subject import Subject

from .direct import DIRECT, is_missing, whisper

SET = "Keep a set of connections for each name, and remove the name with the last one."
LIMIT = "A further tab of a name is refused or replaces another one. Make doesn't limit the tabs. " + SET
FURTHER = replace(LIST, silence=LIMIT, closed=LIMIT)
LOST = (
    "A message is lost when a tab of the same name disconnects while the message waits for another one. Copy the tabs "
    "before the loop over them, and go on after each send."
)
ANYWHERE = "A name that is in another room isn't announced in this one. Look for its tabs in this room alone."


class Tabs:
    """One name in several tabs."""

    @check(4, "sends joined with a name's first tab and left with its last, in whatever order they end")
    async def test_tabs(self, subject: Subject) -> None:
        for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0)):
            async with Room(subject) as room:
                grace = await room.enter("Grace")
                tabs = []
                for count in range(1, 4):
                    tabs.append(await room.enter("Ada", listed=FURTHER))
                    await room.say(grace, f"{count} tabs of Ada")
                for place, number in enumerate(order):
                    silent = "The name's last tab ended and the others get no left. " + SET
                    await room.leave(tabs[number], ENDS[place], likely=replace(LEFT, silence=silent))
                    rest = "A tab gets no messages after another tab of its name has ended. Remove that tab alone."
                    # Unless it's the last, a tab ends without an event. So send several messages, with time in between.
                    for text in ("one", "two"):
                        await room.say(grace, f"{text} after {place + 1} ends", likely=Likely(rest))
                await room.end()

    @check(4, "sends messages and direct messages to every tab of a name, and lets a name have six tabs")
    async def test_every_tab(self, subject: Subject) -> None:
        async with Room(subject) as room:
            ada, grace = await room.enter("Ada"), await room.enter("Grace")
            for name in ("Ada", "Grace", *["Grace"] * 4):
                await room.enter(name, listed=FURTHER)
            await room.say(ada, "hello")
            one = "A direct message reaches one tab of the name. Send it to every tab of the name."
            await whisper(room, ada, "Grace", "psst", likely=replace(DIRECT, silence=one, elsewhere=one))
            await room.say(grace, "after a direct message")
            one = "A direct message to oneself reaches one of the own tabs. Send it to every tab of the name."
            await whisper(room, ada, "Ada", "note to self", likely=replace(DIRECT, silence=one, elsewhere=one))
            await room.say(grace, "after a note to self")
            only = "The error goes to other tabs than the sender's. Send it to the connection that asked."
            await is_missing(room, ada, "Linus", likely=Likely(only, wrong=only, elsewhere=only))
            await ada.send("no JSON")
            await ada.gets_error(likely="A bad frame of one of several tabs isn't answered.")
            room.expect_nothing([tab for tab in room.tabs if tab is not ada], "a bad frame of another tab", only)
            await room.say(room.of("Grace")[3], "after errors")
            barbara = await room.enter("Barbara")
            one = "left reaches one tab of a name. Send notices to every tab of every other name."
            await room.leave(barbara, likely=replace(LEFT, silence=one, elsewhere=one))
            # Tabs in the middle disconnect, and the others stay connected.
            for tab in (room.of("Grace")[2], ada, room.of("Grace")[0]):
                await room.leave(tab)
            await room.say(room.of("Ada")[0], "five tabs")
            await room.end()

    @check(4, "sends messages to all tabs of a name while one of them pauses and another one disconnects")
    async def test_tab_leaves(self, subject: Subject) -> None:
        async with Room(subject) as room:
            zoe, ada = await room.enter("Zoe", small_buffers=True), await room.enter("Ada")
            two = await room.enter("Zoe", listed=FURTHER)
            zoe.stop_reading()
            async with room.flood(ada) as flood:
                await two.reset()
                room.forget([two])
                # Wait, so that the endpoint of that tab can handle the disconnect.
                await subject.stands_still(lambda: flood.sent)
                read_on(zoe)
                for tab in (ada, zoe):
                    tab.did = "messages of Ada, while one of Zoe's tabs pauses and another one disconnects"
                    await interleaved(tab, flood.messages, likely=LOST)
            await room.say(zoe, "here I am", likely=Likely(LOST))
            await room.end()

    @check(4, "sends a member that joins twice at the same time one joined")
    async def test_tabs_together(self, subject: Subject) -> None:
        async with Room(subject) as room:
            grace = await room.enter("Grace")
            tabs = await subject.simultaneous_clients(*[Members.path(room.name, "Ada")] * 3)
            likely = (
                "Tabs of one name that join at the same time are each taken for the first. Add the tab before await."
            )
            for tab in tabs:
                await tab.gets({"type": "members", "names": ["Ada", "Grace"]}, likely=LIST)
            await room.receive(joined("Ada"), [grace], "three handshakes of Ada at the same time", likely=JOINED)
            room.expect_nothing([grace], grace.did, likely)
            await subject.simultaneously(*(tab.leave() for tab in tabs))
            action = "three tabs of Ada left at the same time"
            await room.receive(left("Ada"), [grace], action, likely=LEFT)
            twice = (
                "Tabs of one name that leave at the same time send left more than once. Remove the tab before await."
            )
            room.expect_nothing([grace], action, twice)
            await room.say(grace, "alone")
            await room.end()

    @check(4, "takes the same name in two rooms for two members")
    async def test_two_rooms(self, subject: Subject) -> None:
        async with Room(subject) as room, Room(subject) as lab:
            grace, linus = await room.enter("Grace"), await lab.enter("Linus")
            await room.enter("Ada")
            tab = await lab.enter("Ada", noticed=replace(JOINED, silence=ANYWHERE))
            room.expect_nothing(
                list(room.tabs), "a handshake of Ada for another room", "Notices go to other rooms too."
            )
            await room.say(grace, "in the room")
            silent = "left isn't sent in a room while the name is in another one. Look for its tabs in this room alone."
            await lab.leave(tab, likely=replace(LEFT, silence=silent))
            room.expect_nothing(
                list(room.tabs), "Ada left another room", "A name that leaves one room leaves others too."
            )
            await room.say(grace, "still in the room")
            await lab.enter("Ada", noticed=replace(JOINED, silence=ANYWHERE))
            await lab.say(linus, "in the lab")
            await room.leave(room.of("Ada")[0], likely=replace(LEFT, silence=silent))
            lab.expect_nothing(
                list(lab.tabs), "Ada left another room", "A name that leaves one room leaves others too."
            )
            await lab.say(linus, "still in the lab")
            await lab.end()
            await room.end()

    @check(4, "keeps forty tabs of one name apart", hard=True)
    async def test_forty_tabs(self, subject: Subject) -> None:
        async with Room(subject) as room:
            grace = await room.enter("Grace")
            for _ in range(40):
                await room.enter("Ada", listed=FURTHER)
            await room.say(grace, "hello, all")
            await whisper(room, grace, "Ada", "hello, Ada")
            tabs = room.of("Ada")
            for number, tab in enumerate(tabs[:-1]):
                await room.leave(tab, ENDS[number % 3])
            await room.say(grace, "one tab is left")
            await room.end()
