"""Step 05: the checks of the exercise."""

import asyncio
import contextlib
import random
from urllib.parse import quote

from judge.clients import Client
from judge.members import BAD, BAD_DIRECT, TEXTS, Members, View, joined, left, said
from judge.messages import show
from judge.model import Failure, check
from judge.subject import Subject
from judge.tasks import spawn

ENDS = ("leave", "finish", "reset")
LISTED = "a tab's first frame is the list of names, its own among them: register it first, then send the list"
TABS = "a name may have several tabs: keep a set of sockets for each name, and take the name off with the last"
OUTSIDE = "the list and the notices overlap: nothing may wait between becoming a member and knowing whom to tell"


def whispered(sender: str, text: str) -> dict[str, str]:
    """A direct message as its receiver gets it."""
    return {"type": "direct", "from": sender, "text": text}


class TestExercise:
    @check(1, "asks for a name of 1 to 20 characters")
    async def test_names(self, subject: Subject) -> None:
        room = Members.room()
        for query in ("", "?name=", f"?name={'x' * 21}", f"?name={quote('한' * 21)}", "?nickname=Ada"):
            answer = await subject.handshake(f"/ws/{room}{query}")
            if answer != 403:
                if not isinstance(answer, int):
                    await answer.close()
                got = f"HTTP {answer}" if isinstance(answer, int) else "the socket accepted"
                likely = "name: Annotated[str, Query(min_length=1, max_length=20)] refuses it before the endpoint runs"
                raise Failure(sent=f"a handshake for /ws/{room}{query}", got=got, expect="HTTP 403", likely=likely)
        for name in ("A", "x" * 20, "한" * 20, "a b&c=<d>"):
            async with subject.client(Members.path(room, name)):
                pass

    @check(1, "tells each new tab who is there")
    async def test_list(self, subject: Subject) -> None:
        members = Members(subject)
        room, elsewhere = members.room(), members.room("lab 한글")
        async with members.tab(room, "Linus") as linus:
            await members.enters(linus, "Linus", likely=LISTED)
            async with members.tab(room, "Ada & 한") as ada, members.tab(room, "Grace") as grace:
                await members.enters(ada, "Ada & 한", "Linus", likely=LISTED)
                await members.enters(grace, "Ada & 한", "Grace", "Linus", likely=LISTED)
                async with members.tab(elsewhere, "Linus") as other:
                    await members.enters(other, "Linus", likely="names of other rooms are on the list too")

    @check(1, "tells the others who joined and who left, and nobody of itself")
    async def test_notices(self, subject: Subject) -> None:
        members = Members(subject)
        room, lab = members.room(), members.room("lab")
        own = "a name hears of itself: tell the others only, and none of the name's own tabs"
        once = "the others are told of who joins and of who leaves, once each"
        async with members.tab(room, "Grace") as grace, members.tab(lab, "Linus") as elsewhere:
            await members.enters(grace, "Grace", likely=LISTED)
            await members.enters(elsewhere, "Linus", likely=LISTED)
            for end in ENDS:
                async with members.tab(room, "Ada") as ada, members.tab(room, "Linus") as linus:
                    await members.enters(ada, "Ada", "Grace", likely=LISTED)
                    await members.enters(linus, "Ada", "Grace", "Linus", likely=LISTED)
                    ada.did = "the handshake of Ada, and then that of Linus"
                    await ada.gets(joined("Linus"), likely=own)
                    grace.did = "the handshake of Ada, while Grace is in the room"
                    await grace.gets(joined("Ada"), likely=own if end == ENDS[0] else once)
                    grace.did = "the handshakes of Ada and of Linus"
                    await grace.gets(joined("Linus"), likely=once)
                    await getattr(ada, end)()
                    for tab in (grace, linus):
                        tab.did = f"Ada ended with {ada.did}"
                        await tab.gets(left("Ada"), likely=f"{once}, however that happens")
                    await linus.leave()
                    grace.did = "Ada left, and then Linus"
                    await grace.gets(left("Linus"), likely=once)
            async with members.tab(lab, "Ada"):
                elsewhere.did = "a handshake of Ada, after others came and went in another room"
                await elsewhere.gets(joined("Ada"), likely="notices go to other rooms too")

    @check(1, "keeps list and notices in step, however many come and go at once")
    async def test_at_once(self, subject: Subject) -> None:
        members = Members(subject)
        room = members.room()
        async with contextlib.AsyncExitStack() as stack:

            async def enter(*names: str) -> list[View]:
                tabs = await subject.clients_at_once(*(members.path(room, name) for name in names))
                for tab in tabs:
                    stack.push_async_callback(tab.end)
                return [View(tab, name) for tab, name in zip(tabs, names, strict=True)]

            staying = await enter(*(f"Ada {number}" for number in range(12)))
            going = await enter(*(f"Grace {number}" for number in range(12)))
            # Others come while those go.
            leaving = [spawn(view.tab.leave()) for view in going]
            staying += await enter(*(f"Linus {number}" for number in range(8)))
            await asyncio.gather(*leaving)
            there = {view.own for view in staying}
            after = "32 members came and 12 of them left, many at once"
            for view in staying:
                await view.settles(there, after=after, likely=OUTSIDE)
            # One more, so that whatever else was on the way has come before.
            await enter("Zoe")
            for view in staying:
                await view.settles(there | {"Zoe"}, after=f"{after}, and then one more", likely=OUTSIDE)

    @check(2, "passes a message on to everybody in the room, with its sender")
    async def test_message(self, subject: Subject) -> None:
        members = Members(subject)
        room = members.room()
        async with (
            members.tab(room, "Ada") as ada,
            members.tab(members.room("lab"), "Grace") as elsewhere,
            members.tab(room, "Grace") as grace,
        ):
            await self._skip(ada, 2)
            await self._skip(elsewhere, 1)
            await self._skip(grace, 1)
            likely = "everybody in the room, the sender too, gets type, from and text: from is the name of the socket"
            for text in TEXTS:
                await ada.send({"type": "message", "text": text})
                await ada.gets(said("Ada", text), likely=likely)
                grace.did = f"{show(text)} from Ada, in the same room"
                await grace.gets(said("Ada", text), likely=likely)
            likely = "what the client wrote besides type and text counts for nothing"
            for extra in ({"from": "Linus"}, {"from": 1, "to": "Grace", "id": None}, {"name": "Linus", "x": [{}]}):
                message = {"type": "message", "text": "hello"} | extra
                await ada.send(message)
                for tab in (ada, grace):
                    tab.did = show(message)
                    await tab.gets(said("Ada", "hello"), likely=likely)
            await elsewhere.send({"type": "message", "text": "here"})
            await elsewhere.gets(said("Grace", "here"), likely="a message goes to other rooms too")

    @check(2, "answers what it cannot read with an error, to that socket alone")
    async def test_bad(self, subject: Subject) -> None:
        members = Members(subject)
        room = members.room()
        likely = "each bad frame is answered and the loop goes on: read() gives None, also for a binary frame"
        async with members.tab(room, "Ada") as ada, members.tab(room, "Grace") as grace:
            await self._skip(ada, 2)
            await self._skip(grace, 1)
            for frame in (*BAD, *BAD_DIRECT):
                await ada.send(frame)
                await ada.gets_error(likely=likely)
            await ada.send({"type": "message", "text": "hello"})
            for tab in (ada, grace):
                tab.did = "a good message after the bad ones"
                await tab.gets(said("Ada", "hello"), likely="the error goes to others too, or comes twice")

    @check(2, "loses nothing to a member that vanishes")
    async def test_vanished(self, subject: Subject) -> None:
        members = Members(subject)
        likely = "a send to a member that is gone raises in the endpoint of whoever sends: catch it around each send"
        for end in ENDS:
            room = members.room()
            async with (
                members.tab(room, "Grace") as grace,
                members.tab(room, "Ada") as ada,
                contextlib.AsyncExitStack() as stack,
            ):
                names = [f"Linus {number}" for number in range(6)]
                gone = [await stack.enter_async_context(members.tab(room, name)) for name in names]
                await self._skip(grace, 8)
                await self._skip(ada, 7)
                # All at once: the notice that one has left then finds others gone whom nobody has missed yet.
                await subject.at_once(*(getattr(tab, end)() for tab in gone))
                wanted = [left(name) for name in names]
                for number in range(3):
                    await ada.send({"type": "message", "text": f"text {number}"})
                    wanted.append(said("Ada", f"text {number}"))
                expect = "three messages, and that each of the six left"
                for who, tab in (("the sender", ada), ("another member", grace)):
                    tab.did = f"three messages, after six members sent {gone[0].did}"
                    heard = [await tab.next_object(expect=expect, likely=likely) for _ in wanted]
                    if sorted(map(show, heard)) != sorted(map(show, wanted)):
                        got = f"{who} got {', '.join(map(show, heard))}"
                        raise Failure(after=tab.did, got=got, expect=f"{expect}, once each", likely=likely)

    @check(3, "passes a direct message to its member, and to nobody else")
    async def test_direct(self, subject: Subject) -> None:
        members = Members(subject)
        room = members.room()
        async with (
            members.tab(room, "Ada") as ada,
            members.tab(room, "Grace") as grace,
            members.tab(room, "Linus") as linus,
            members.tab(members.room("lab"), "Zoe") as elsewhere,
        ):
            for tab, frames in ((ada, 3), (grace, 2), (linus, 1), (elsewhere, 1)):
                await self._skip(tab, frames)
            likely = "exactly type, from and text, to the member of that name: look for the name in this room"
            for text in TEXTS[:4]:
                await ada.send({"type": "direct", "to": "Grace", "text": text, "from": "Linus"})
                grace.did = f"{show(text)} from Ada to Grace alone"
                await grace.gets(whispered("Ada", text), likely=likely)
            await ada.send({"type": "direct", "to": "Ada", "text": "note to self"})
            echoed = "the sender gets a copy of its direct messages"
            await ada.gets(whispered("Ada", "note to self"), likely=f"{echoed}, or none of one to itself")
            for absent in ("Nobody", "grace", "", "Ada ", "Zoe"):
                await ada.send({"type": "direct", "to": absent, "text": "hello?"})
                await ada.gets_error(
                    likely="nobody has this name here, and the asking tab is not told; or other rooms are searched"
                )
            await linus.send({"type": "message", "text": "that is all"})
            likely = "a direct message or its error goes to somebody it is not for, or twice"
            for tab in (ada, grace, linus):
                tab.did = "a message of Linus, after direct messages and errors of Ada"
                await tab.gets(said("Linus", "that is all"), likely=likely)
            await elsewhere.send({"type": "message", "text": "here"})
            await elsewhere.gets(said("Zoe", "here"), likely=likely)

    @check(4, "takes several tabs of one name for one person")
    async def test_tabs(self, subject: Subject) -> None:
        members = Members(subject)
        for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0)):
            room = members.room()
            async with (
                members.tab(room, "Grace") as grace,
                members.tab(room, "Ada") as one,
                members.tab(room, "Ada") as two,
                members.tab(room, "Ada") as three,
            ):
                await self._skip(grace, 1)
                for tab in (one, two, three):
                    await members.enters(tab, "Ada", "Grace", likely=f"{TABS}; and the list is for each tab")
                grace.did = "three handshakes of Ada"
                await grace.gets(joined("Ada"), likely=TABS)
                tabs = [(one, two, three)[number] for number in order]
                for number, end in enumerate(("leave", "reset")):
                    await getattr(tabs[number], end)()
                    await self._hears_no_left(grace, tabs[number + 1 :])
                await tabs[2].leave()
                grace.did = "the last tab of Ada left"
                await grace.gets(left("Ada"), likely=TABS)
        room = members.room()
        async with members.tab(room, "Grace") as grace, contextlib.AsyncExitStack() as stack:
            await self._skip(grace, 1)
            tabs = [await stack.enter_async_context(members.tab(room, "Ada")) for _ in range(4)]
            await subject.at_once(*(tab.leave() for tab in tabs))
            grace.did = "four tabs of Ada came, and left at the same time"
            for notice in (joined("Ada"), left("Ada")):
                await grace.gets(notice, likely=TABS)
            await grace.send({"type": "message", "text": "alone"})
            await grace.gets(said("Grace", "alone"), likely="left is told more than once for one name")

    @check(4, "reaches every tab of a name")
    async def test_every_tab(self, subject: Subject) -> None:
        members = Members(subject)
        room = members.room()
        async with (
            members.tab(room, "Ada") as ada,
            members.tab(room, "Ada") as ada_too,
            members.tab(room, "Grace") as grace,
            members.tab(room, "Grace") as grace_too,
        ):
            for tab, frames in ((ada, 2), (ada_too, 2), (grace, 1), (grace_too, 1)):
                await self._skip(tab, frames)
            await ada.send({"type": "message", "text": "hello"})
            for tab in (ada, ada_too, grace, grace_too):
                tab.did = "a message of Ada; she and Grace have two tabs each"
                await tab.gets(said("Ada", "hello"), likely=TABS)
            await ada.send({"type": "direct", "to": "Grace", "text": "psst"})
            for tab in (grace, grace_too):
                tab.did = "a direct message of Ada to Grace, who has two tabs"
                await tab.gets(whispered("Ada", "psst"), likely="a direct message goes to every tab of its name")
            await ada.send({"type": "direct", "to": "Ada", "text": "note to self"})
            for tab in (ada, ada_too):
                tab.did = "a direct message of Ada to Ada, who has two tabs"
                await tab.gets(
                    whispered("Ada", "note to self"),
                    likely="a direct message to oneself goes to all own tabs, and one to another goes to none of them",
                )
            for frame in ("no JSON", '{"type": "direct", "to": "Nobody", "text": ""}'):
                await ada.send(frame)
                await ada.gets_error(likely="the tab that asked is told")
            await grace.send({"type": "message", "text": "that is all"})
            for tab in (ada, ada_too, grace, grace_too):
                tab.did = "a message of Grace, after direct messages and errors of one tab of Ada"
                await tab.gets(
                    said("Grace", "that is all"), likely="an error goes to other tabs than the one that asked"
                )

    @staticmethod
    async def _hears_no_left(grace: Client, rest: list[Client]) -> None:
        """After a tab has ended, the others of its name still hear, and nobody was told that it left."""
        # The end of the tab has no sign: so several messages, with time for it in between.
        for number in range(3):
            await grace.send({"type": "message", "text": f"text {number}"})
            for tab in (grace, *rest):
                tab.did = "a tab of Ada ended, others are still open, and Grace said something"
                await tab.gets(said("Grace", f"text {number}"), likely=TABS)

    @check(5, "answers who is in a room")
    async def test_members(self, subject: Subject) -> None:
        members = Members(subject)
        room, ghost = members.room("lobby 한글"), members.room("ghost")
        await self._is_not_there(subject, ghost)
        await self._is_not_there(subject, ghost)
        likely = "each name once, sorted, in this room only"
        async with members.tab(room, "Grace"), members.tab(room, "Ada"), members.tab(room, "Ada") as second:
            await members.enters(second, "Ada", "Grace", likely=LISTED)
            async with members.tab(members.room("lab"), "Linus"):
                await members.are(room, "Ada", "Grace", after="Grace, two tabs of Ada, Linus elsewhere", likely=likely)
        likely = "an empty room is kept: take the room away with its last member"
        await members.come_to_nothing(room, after="the last members left", likely=likely)
        async with members.tab(room, "Linus") as linus:
            await members.enters(linus, "Linus", likely="names of those who left are still there")
            await members.are(room, "Linus", after="the room had been empty, and Linus came", likely=likely)

    @staticmethod
    async def _is_not_there(subject: Subject, room: str) -> None:
        path = Members.list_path(room)
        response = await subject.get(path, likely="an HTTP route for the names of a room")
        if response.status_code != 404:
            likely = "a room that nobody is in is answered with HTTPException(404), and asking must not make it"
            got = f"status {response.status_code}, {show(response.text)}"
            raise Failure(sent=f"GET {path}", got=got, expect="status 404", likely=likely)

    @check(6, "removes a member: every tab is closed with 1008, the name is off the list, the others hear it once")
    async def test_remove(self, subject: Subject) -> None:
        members = Members(subject)
        room, lab = members.room(), members.room("lab")
        likely = "DELETE takes the name off the list first, tells the others once, and closes every tab of the name"
        async with (
            members.tab(room, "Grace") as grace,
            members.tab(room, "Ada") as one,
            members.tab(room, "Ada") as two,
            members.tab(lab, "Ada") as elsewhere,
        ):
            for tab, frames in ((grace, 2), (one, 1), (two, 1), (elsewhere, 1)):
                await self._skip(tab, frames)
            await members.remove(room, "Nobody", expect=404, likely="a member that is not there is answered with 404")
            await members.remove(lab, "Grace", expect=404, likely="a member of another room is not in this one")
            await members.remove(members.room(), "Ada", expect=404, likely="a room that is not there gives 404")
            await members.remove(room, "Ada", after="two tabs of Ada are in the room", likely=likely)
            await members.are(room, "Grace", after="DELETE was answered with 204", likely=likely)
            grace.did = "Ada, who has two tabs, was removed"
            await grace.gets(left("Ada"), likely=likely)
            for tab in (one, two):
                tab.did = "Ada, who has two tabs, was removed"
                await tab.is_closed(1008, "removed", likely=likely)
            await members.remove(room, "Ada", expect=404, after="it was removed before", likely=likely)
            await grace.send({"type": "message", "text": "gone"})
            await grace.gets(said("Grace", "gone"), likely="left is told again when the removed tabs have ended")
            await elsewhere.send({"type": "message", "text": "here"})
            await elsewhere.gets(said("Ada", "here"), likely="tabs of the same name in other rooms are removed too")
            await members.remove(room, "Grace", after="the last member", likely=likely)
            await self._is_not_there(subject, room)

    @check(6, "lets a removed name come back at once")
    async def test_comes_back(self, subject: Subject) -> None:
        members = Members(subject)
        room = members.room()
        likely = "the removed name is ignored for good, or the end of its old tab takes the new one along"
        async with members.tab(room, "Grace") as grace, members.tab(room, "Ada") as old:
            await self._skip(grace, 2)
            await self._skip(old, 1)
            # A tab that does not read does not answer the close frame, so its endpoint ends late.
            old.stop_reading()
            await members.remove(
                room, "Ada", after="its tab has stopped reading", likely="the answer waits for the tab"
            )
            await grace.gets(left("Ada"), likely=likely)
            async with members.tab(room, "Ada") as new:
                await members.enters(new, "Ada", "Grace", likely=likely)
                await grace.gets(joined("Ada"), likely=likely)
                old.read_again()
                old.did = "its name was removed and came back with a new tab"
                await old.is_closed(1008, "removed", likely=likely)
                await self._hears_no_left(grace, [new])
                await members.are(room, "Ada", "Grace", after="the removed tab has ended", likely=likely)
                await new.send({"type": "direct", "to": "Grace", "text": "back"})
                grace.did = "a direct message of the name that came back"
                await grace.gets(whispered("Ada", "back"), likely=likely)

    @check(7, "counts open sockets and rooms, and leaves nothing behind")
    async def test_sessions(self, subject: Subject) -> None:
        # The counts are of the whole server, and so are its tasks.
        async with subject.another(counting=True) as own:
            members = Members(own)
            await own.get(members.list_path(members.room("ghost")), likely="a room that nobody is in")
            asked = "a fresh server has no sessions, and asking who is in a room does not make it"
            await self._counts(own, 0, 0, after="nobody has come yet, and somebody asked about a room", likely=asked)
            before = await own.unfinished()
            chance = random.Random(5)
            for _ in range(3):
                async with contextlib.AsyncExitStack() as stack:
                    rooms = [members.room() for _ in range(3)]
                    tabs: list[tuple[str, str, Client]] = []
                    for number in range(18):
                        room, name = rooms[number % 3], chance.choice(("Ada", "Grace", "Linus"))
                        tabs.append((room, name, await stack.enter_async_context(members.tab(room, name))))
                    for _, _, tab in tabs:
                        await self._skip(tab, 1)
                    likely = "every open socket counts, also a second tab; a room counts once"
                    await self._counts(own, 18, 3, after="18 handshakes for 3 rooms", likely=likely)
                    chance.shuffle(tabs)
                    for room, name, tab in tabs[:6]:
                        await tab.send(chance.choice(("no JSON", '{"type": "message", "text": "bye"}')))
                        await own.request("DELETE", f"{members.list_path(room)}/{name}", likely=likely)
                    await asyncio.gather(*(getattr(tab, chance.choice(ENDS))() for _, _, tab in tabs[6:15]))
                    # A handshake that is refused, and one whose client does not stay to hear the list.
                    await own.handshake(members.path(rooms[0], "x" * 21))
                    async with members.tab(rooms[0], "Ada") as brief:
                        await brief.reset()
                likely = "a socket is forgotten after some ends only: put the end into finally, and drop empty rooms"
                await own.becomes(
                    "/debug/sessions",
                    lambda value: value == {"sessions": 0, "rooms": 0},
                    after="joins, leaves, drops and removals, and everybody has gone",
                    expect='{"sessions": 0, "rooms": 0} within 1 s after the last socket has ended',
                    likely=likely,
                )
            await own.comes_to_be_idle(before, after="joins, leaves, drops and removals, and everybody has gone")

    @staticmethod
    async def _counts(subject: Subject, sessions: int, rooms: int, *, after: str, likely: str) -> None:
        got = await subject.get_json("/debug/sessions", likely=likely)
        expected = {"sessions": sessions, "rooms": rooms}
        if got != expected:
            raise Failure(sent="GET /debug/sessions", after=after, got=show(got), expect=show(expected), likely=likely)

    @staticmethod
    async def _skip(tab: Client, frames: int) -> None:
        """Read the list and the notices that another check has looked at."""
        for _ in range(frames):
            await tab.next(expect="the list of members, or a notice", likely=LISTED)
