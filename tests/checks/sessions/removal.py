"""TODO 6: DELETE removes a member."""

import asyncio
import contextlib
import time
from dataclasses import replace

from judge import pool
from judge.clients import Client
from judge.members import Members, joined, left, said
from judge.messages import is_error, parsed, show
from judge.model import Failure, Likely, check
from judge.sessions import JOINED, LEFT, LIST, PAUSE, Room, interleaved, pause, read_on, read_while, show_name
from judge.subject import Subject
from judge.tasks import running

from .direct import whisper

MISSING = "A member that isn't in the room isn't answered with 404. Look up the exact name in this room."
CLOSED = Likely(
    silence='A removed tab isn\'t closed. Close every tab of the name with close(1008, "removed").',
    surplus="A removed tab gets a message before the close. Take the name out of the room before you send left, and "
    "send nothing to its tabs.",
)
IN_TURN = (
    "A tab isn't closed while another tab of its name doesn't read. Close the removed tabs side by side, as "
    "asyncio.gather() does."
)
GIVEN_UP = (
    "A removed tab that doesn't read for a while isn't closed when it reads on: your code gives its close up. Don't "
    "limit the time of the close."
)
CUT_OFF = (
    "The endpoint of a removed tab ends before its close is sent, for example at its next message. Go on with the loop "
    "until the client disconnects, and ignore its messages."
)
WAITS = (
    "DELETE waits until a removed tab reads. Respond first, and close the tabs in a background task, because the close "
    "of a tab with full buffers waits."
)
LATE_MESSAGE = (
    "A message of a removed tab is sent to the room. Look whether the tab is still in the room right before you handle "
    "its message, without an await in between."
)
LATE_LEFT = "left is sent again when the removed tabs end. In leave, look whether this tab is still in its place."
HEARD = (
    "A message of a removed tab is handled. Before you handle one, look whether this very tab is still among those of "
    "its name: the name alone may have joined again."
)
THREAD = (
    "The left that DELETE sends doesn't reach a tab that another send waits for. A plain def runs in a thread, and "
    "asyncio.run() makes a second event loop there: declare the route with async def, and await the sends."
)
STALE = (
    "A member that joins while DELETE sends left gets the removed name in its list, and no left. Take the name out of "
    "the room before the first await of DELETE."
)
LATE = (
    "DELETE looks a room up again after an await, when its last member may have removed it. Change the room first, "
    "without an await, and send after that."
)


class Removal:
    """The removal of a member with DELETE."""

    @check(6, "removes a member: its tabs are closed with 1008, the others get left, and the name isn't listed")
    async def test_remove(self, subject: Subject) -> None:
        members = Members(subject)
        async with Room(subject) as room, Room(subject) as lab:
            grace = await room.enter("Grace")
            for _ in range(3):
                await room.enter("Ada")
            await room.enter("Grace")
            elsewhere = await lab.enter("Ada")
            await members.remove(room.name, "Nobody", expect=404, likely=MISSING)
            await members.remove(lab.name, "Grace", expect=404, likely=f"Other rooms are searched. {MISSING}")
            await members.remove(members.room(), "Ada", expect=404, likely="A room that doesn't exist gives 404.")
            path = f"{members.list_path(room.name)}/Ada"
            response, names = await self._delete_and_list(subject, room, path)
            if response != 204:
                await members.remove(room.name, "Ada", likely="DELETE must answer 204 without a body.")
            removed = room.of("Ada")
            room.forget(removed)
            if names != {"names": room.names}:
                raise Failure(
                    sent=f"DELETE {path}, and GET {members.list_path(room.name)} after the response",
                    got=show(names),
                    expect=show({"names": room.names}),
                    likely="The name is still listed after the response of DELETE. Take it out of the room first, not "
                    "when its tabs end.",
                )
            cause = replace(
                LEFT,
                silence="DELETE removes the name and the others get no left. Send it in DELETE: when the removed tabs "
                "end, the name isn't in the room.",
                surplus="left is sent more than once.",
            )
            await room.receive(left("Ada"), list(room.tabs), "DELETE of Ada, who has three tabs", likely=cause)
            for tab in removed:
                tab.did = "Ada, who has three tabs, was removed"
                await tab.is_closed(1008, "removed", likely=CLOSED)
            room.expect_nothing(list(room.tabs), "the removed tabs ended", LATE_LEFT)
            await members.remove(room.name, "Ada", expect=404, after="Ada was removed before", likely=MISSING)
            for text in ("one", "two"):
                await room.say(grace, f"{text} after DELETE")
            everywhere = "DELETE removes the name from other rooms too. Look it up in this room alone."
            await lab.say(elsewhere, "here", likely=Likely(everywhere, wrong=everywhere, closed=everywhere))
            await members.remove(lab.name, "Ada", likely="DELETE fails for the last member of a room.")
            await elsewhere.is_closed(1008, "removed", likely=CLOSED)
            lab.forget([elsewhere])
            kept = "A room is kept when its last member is removed. Remove it together with its last name."
            await members.eventually_empty(lab.name, after="the last member was removed", likely=kept)
            await room.end()

    @staticmethod
    async def _delete_and_list(subject: Subject, room: Room, path: str) -> tuple[int, object]:
        response = await subject.request("DELETE", path, likely="DELETE isn't answered.")
        listed = await subject.get(Members.list_path(room.name), likely="")
        status = response.status_code if not response.content else 0
        with contextlib.suppress(ValueError):
            return status, listed.json()
        return status, listed.text

    @check(6, "finds the member by its exact name in the path, and no similar one")
    async def test_exact_name(self, subject: Subject) -> None:
        async with Room(subject) as room:
            grace = await room.enter("Grace")
            for similar in (*pool.neighbors("Grace")[:4], "@Grace", "*"):
                likely = f"DELETE of {show_name(similar)} removes Grace. Compare names exactly."
                await room.members.remove(room.name, similar, expect=404, likely=likely)
            room.expect_nothing([grace], "DELETE of similar names", "DELETE removes a similar name. Compare exactly.")
            await room.say(grace, "still here")
            for kind, name in pool.names().items():
                tab = await room.enter(name)
                if kind == "quotes":
                    listed = "The names of the room aren't those that joined, each exactly as it is."
                    await room.are(after=f"{show_name(name)} joined", likely=listed)
                likely = f"DELETE doesn't find a name of this kind: {kind}. Compare the decoded path exactly."
                if "/" in name:
                    likely = "A slash in a name is in the path too, even if it's sent as %2F. Declare {name:path}."
                await room.remove(name, likely=likely)
                await tab.is_closed(1008, "removed", likely=CLOSED)
            await room.end()
        async with Room(subject, pool.rooms()["characters of URLs"]) as room:
            tab = await room.enter("Ada")
            likely = "DELETE takes a room and a name for another pair with the same text. Keep the two apart."
            async with Room(subject, f"{room.name}:b") as other:
                await other.enter("c")
                await room.members.remove(room.name, "b:c", expect=404, likely=likely)
                await room.members.remove(f"{room.name}:b", "Ada", expect=404, likely=likely)
            await room.remove("Ada", likely="DELETE doesn't find a room with characters of URLs in its name.")
            await tab.is_closed(1008, "removed", likely=CLOSED)

    @check(6, "lets a removed name join again, and ignores its old tabs")
    async def test_joins_again(self, subject: Subject) -> None:
        async with Room(subject) as room:
            grace = await room.enter("Grace")
            old = await room.enter("Ada")
            old.stop_reading()
            await room.remove("Ada")
            ignored = "The removed name is ignored from then on. Remember the removed tabs, if you must, not the name."
            closed = "A new tab of a removed name is closed with the old one. Close the tabs that were removed, alone."
            new = await room.enter("Ada", listed=replace(LIST, closed=closed), noticed=JOINED)
            words = [
                {"type": "message", "text": "late words"},
                {"type": "direct", "to": "Grace", "text": "late"},
                "late",
            ]
            await old.send_burst(*words)
            room.expect_nothing(list(room.tabs), "messages of a removed tab whose name has joined again", HEARD)
            await room.say(grace, "after late words", likely=Likely(ignored, closed=closed))
            old.read_again()
            old.did = "DELETE of its name, which has joined again with another tab"
            cut = "A removed tab isn't closed with 1008 if it sends something. Don't end its endpoint before its close."
            await old.is_closed(1008, "removed", likely=replace(CLOSED, silence=cut, closed=cut))
            room.expect_nothing(list(room.tabs), "the removed tab ended", LATE_LEFT)
            for text in ("one", "two"):
                await room.say(grace, f"{text} after the end of the removed tab", likely=Likely(ignored, closed=closed))
            await room.are(after="the removed tab has ended", likely="The end of the old tab removes the new one.")
            await whisper(room, new, "Grace", "here again", likely=Likely(ignored, closed=closed))
            await room.say(new, "here again", likely=Likely(ignored, closed=closed))
            for _ in range(3):
                again = await room.remove("Ada", likely="A name can't be removed a second time.")
                for tab in again:
                    await tab.is_closed(1008, "removed", likely=CLOSED)
                await room.enter("Ada", listed=replace(LIST, closed=closed))
            await room.end()

    @check(
        6,
        "responds within a second although a removed tab doesn't read, and closes that one when it reads on",
        pauses=True,
    )
    async def test_stuck(self, subject: Subject) -> None:
        async with Room(subject) as room:
            stuck = await room.enter("Zoe", small_buffers=True)
            ada, grace = await room.enter("Ada"), await room.enter("Grace")
            stuck.stop_reading()
            async with room.flood(ada, "Zoe") as flood:
                # These tabs joined later, so their own buffers are empty.
                tabs = await room.enter_many("Zoe", 10)
                await self._responds(room, "Zoe")
                since = time.monotonic()
                room.forget([stuck, *tabs])
                for tab in tabs:
                    tab.did = "DELETE of its name, while another tab of the name doesn't read"
                    # Tabs before the stuck one still get Ada's messages.
                    in_turn = Likely(IN_TURN, surplus=CLOSED.surplus)
                    await tab.is_closed(1008, "removed", likely=in_turn, besides=flood.has)
                new = await room.enter("Zoe", unread=[ada, grace])
                await stuck.send_burst({"type": "message", "text": "late words"}, "late")
                await pause(since)
                read_on(stuck)
                stuck.did = f"DELETE of its name, while it didn't read; it reads on after {PAUSE:g} s"
                given_up = Likely(GIVEN_UP, wrong=GIVEN_UP, closed=CUT_OFF, surplus=f"{CLOSED.surplus} {HEARD}")
                await read_while(stuck, flood.has)
                await stuck.is_closed(1008, "removed", likely=given_up, besides=flood.has)
            await ada.send({"type": "message", "text": "that is all"})
            allowed = {ada: is_error, grace: lambda frame: False, new: flood.has}
            for tab, besides in allowed.items():
                tab.did = "DELETE of Zoe, whose tab didn't read, a new tab of Zoe, and late words of the removed tab"
                notices = [] if tab is new else [left("Zoe"), joined("Zoe")]
                missed = "A member misses something because a removed tab didn't read."
                likely = Likely(missed, wrong=HEARD, surplus=HEARD)
                await interleaved(tab, [*notices, said("Ada", "that is all")], likely=likely, besides=besides)
            await room.end()

    @staticmethod
    async def _responds(room: Room, name: str) -> None:
        path = f"{room.members.list_path(room.name)}/{name}"
        start = time.monotonic()
        try:
            response = await room.subject.request("DELETE", path, likely=WAITS)
        except Failure as failure:
            failure.after = "one tab of the name doesn't read, and its buffers are full"
            raise
        if response.status_code != 204:
            raise Failure(
                sent=f"DELETE {path}", got=f"status {response.status_code}", expect="status 204", likely=WAITS
            )
        if time.monotonic() - start > room.subject.patience:
            raise Failure(sent=f"DELETE {path}", got="a late response", expect="a response within 1 s", likely=WAITS)

    @check(6, "sends left to a member that reads slowly, also to one that joins meanwhile")
    async def test_slow_member(self, subject: Subject) -> None:
        async with Room(subject) as room:
            zoe = await room.enter("Zoe", small_buffers=True)
            ada, linus = await room.enter("Ada"), await room.enter("Linus")
            await room.say(ada, "before")
            zoe.stop_reading()
            async with room.flood(ada, "Zoe") as flood:
                path = f"{room.members.list_path(room.name)}/Linus"
                # The response may wait for Zoe, a member that stays in the room. The removal must not.
                async with running(subject.request("DELETE", path, likely=LATE, timeout=20)) as deleting:
                    await subject.stands_still(lambda: 0)
                    late = await self._joins(room, "Barbara")
                    read_on(zoe)
                    await asyncio.wait(deleting)
                    status = deleting[0].result().status_code
                if status != 204:
                    raise Failure(sent=f"DELETE {path}", got=f"status {status}", expect="status 204", likely=LATE)
                room.forget([linus])
                await linus.is_closed(1008, "removed", likely=CLOSED, besides=lambda frame: True)
                for tab in (zoe, ada):
                    tab.did = "DELETE of Linus and a handshake of Barbara, while Zoe didn't read"
                    tab.after = "Zoe reads on" if tab is zoe else None
                    lost = THREAD if tab is zoe else "A member misses a notice during DELETE."
                    notices = [left("Linus")], [joined("Barbara")]
                    await interleaved(tab, *notices, flood.messages if tab is zoe else [], likely=Likely(lost))
                    tab.after = None
            room.tabs[late] = "Barbara"
            await self._adds_up(room, late)
            await room.say(ada, "after", likely=Likely("A member gets no messages after a slow DELETE."))
            await room.end()

    @staticmethod
    async def _joins(room: Room, name: str) -> Client:
        client = room.subject.client(Members.path(room.name, name))
        return await room._stack.enter_async_context(client)

    @staticmethod
    async def _adds_up(room: Room, tab: Client) -> None:
        """Check that a tab's presence snapshot and its later events add up to the names in the room."""
        names: list[str] | None = None
        tab.did = "a handshake, while DELETE of Linus waited for a slow member"
        while names is None or sorted(names) != room.names:
            frame = await tab.next(expect=f"a list and notices that come to {show(room.names)}", likely=STALE)
            value = json_of(frame)
            if names is None and value.get("type") == "members":
                names = list(value.get("names", []))
            elif names is not None and value == left("Linus") and "Linus" in names:
                names.remove("Linus")
            else:
                raise Failure(sent=tab.did, got=show(frame), expect="a list and notices that add up", likely=STALE)

    @check(6, "removes a member while the last other one disconnects")
    async def test_last_drops(self, subject: Subject) -> None:
        async with Room(subject) as room:
            grace = await room.enter("Grace", small_buffers=True)
            ada = await room.enter("Ada")
            await room.say(ada, "before")
            grace.stop_reading()
            async with room.flood(ada, "Grace"):
                path = f"{room.members.list_path(room.name)}/Ada"
                async with running(subject.request("DELETE", path, likely=LATE, timeout=20)) as deleting:
                    with contextlib.suppress(Failure):
                        await subject.stands_still(lambda: 0)
                    await grace.reset()
                    await asyncio.wait(deleting)
                    response = deleting[0].result()
                if response.status_code != 204:
                    got = f"status {response.status_code}, {show(response.text)}"
                    after = "the only other member disconnected while left was sent to it"
                    raise Failure(
                        sent=f"DELETE {path}", after=after, got=got, expect="status 204", likely=LATE, certain=True
                    )
                await ada.is_closed(1008, "removed", likely=CLOSED, besides=lambda frame: True)
                room.forget([ada, grace])
            kept = "A room is kept when its last member disconnects during DELETE."
            await room.members.eventually_empty(room.name, after="both members have disconnected", likely=kept)

    @check(6, "decides DELETE, joins and ends that arrive at the same moment one by one")
    async def test_delete_and_more(self, subject: Subject) -> None:
        for kind in ("delete twice", "delete and leave", "leave and delete", "delete and join", "delete and message"):
            async with Room(subject) as room:
                grace, ada = await room.enter("Grace"), await room.enter("Ada")
                await room.say(grace, "before")
                path = f"{room.members.list_path(room.name)}/Ada"
                new: list[Client] = []
                deletes = [await Delete.open(subject, path) for _ in range(2 if kind == "delete twice" else 1)]
                # The server accepts connections in order, so it has accepted these when it answers this request.
                await subject.get("/still-there", likely=LATE)
                sends = [each.send() for each in deletes]
                if kind == "delete and join":
                    new = await subject.simultaneous_clients(Members.path(room.name, "Ada"), meanwhile=deletes[0].write)
                elif kind == "leave and delete":
                    sends.insert(0, ada.leave())
                elif kind == "delete and leave":
                    sends.append(ada.leave())
                elif kind == "delete and message":
                    sends.insert(0, ada.send({"type": "message", "text": "last"}))
                await subject.simultaneously(*sends)
                statuses = [await each.status() for each in deletes]
                await self._one_by_one(room, kind, grace, ada, new, sorted(statuses))
                for tab in new:
                    await tab.end()

    @staticmethod
    async def _one_by_one(
        room: Room, kind: str, grace: Client, ada: Client, new: list[Client], statuses: list[int]
    ) -> None:
        allowed = {
            "delete twice": [[204, 404]],
            "delete and leave": [[204], [404]],
            "leave and delete": [[204], [404]],
        }.get(kind, [[204]])
        if statuses not in allowed:
            raise Failure(
                sent=f"at the same moment: {kind}",
                got=f"status {', '.join(map(str, statuses))}",
                expect=" or ".join(", ".join(map(str, each)) for each in allowed),
                likely="DELETE looks the member up and removes it after an await, when another request or its end has "
                "done so. Look up and remove without an await in between.",
                certain=True,
            )
        grace.did = f"Ada: {kind}, at the same moment"
        once = Likely("left isn't sent when DELETE and something else arrive at the same moment.", surplus=LATE_LEFT)
        frame = await grace.next(expect=show(left("Ada")), likely=once)
        if kind == "delete and message" and json_of(frame) == said("Ada", "last"):
            frame = await grace.next(expect=show(left("Ada")), likely=once)
        grace._unread.appendleft(frame)
        await grace.gets(left("Ada"), likely=once)
        names = await room.subject.get_json(room.members.list_path(room.name), likely="")
        room.forget([ada])
        if names == {"names": ["Ada", "Grace"]} and new:
            await grace.gets(joined("Ada"), likely=JOINED)
        elif names != {"names": ["Grace"]}:
            likely = "The name is listed and no joined was sent, or the other way round."
            raise Failure(sent=grace.did, got=show(names), expect='{"names": ["Grace"]}', likely=likely)
        room.expect_nothing([grace], grace.did, LATE_LEFT)
        await grace.send({"type": "message", "text": "after"})
        frame = await grace.next(expect=show(said("Grace", "after")), likely=LATE_LEFT)
        if json_of(frame) == said("Ada", "last"):
            raise Failure(sent=grace.did, got=show(frame), expect="no message of a removed tab", likely=LATE_MESSAGE)
        grace._unread.appendleft(frame)
        await grace.gets(said("Grace", "after"), likely=Likely("", surplus=LATE_LEFT))

    @check(6, "answers DELETE with a body that arrives late, after its member has left", hard=True)
    async def test_late_body(self, subject: Subject) -> None:
        async with Room(subject) as room:
            grace, ada = await room.enter("Grace"), await room.enter("Ada")
            path = f"{room.members.list_path(room.name)}/Ada"
            host, port = subject.server.url.split("/")[2].split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                head = f"DELETE {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 6\r\nConnection: close\r\n\r\n"
                writer.write(head.encode())
                for _ in range(3):
                    await subject.get("/still-there", likely="")
                await ada.leave()
                await grace.gets(left("Ada"), likely=LEFT)
                for _ in range(2):
                    await subject.get("/still-there", likely="")
                writer.write(b"reason")
                async with asyncio.timeout(subject.patience):
                    line = (await reader.readline()).decode()
            except (TimeoutError, OSError):
                line = "no answer"
            finally:
                writer.close()
            if line.split(" ")[1:2] not in (["204"], ["404"]):
                raise Failure(
                    sent=f"DELETE {path}, whose body arrives after Ada has left",
                    got=line.strip(),
                    expect="status 404, or 204 if DELETE came first",
                    likely="DELETE looks for the member, waits for the body, and removes a member that has left "
                    "meanwhile. Read the body first, and look up and remove without an await in between.",
                    certain=True,
                )
            room.forget([ada])
            await room.say(grace, "after", likely=Likely(LATE_LEFT))
            await room.end()

    @check(6, "removes forty tabs of a name, of which some don't read and some are disconnected", hard=True)
    async def test_forty_removed(self, subject: Subject) -> None:
        async with Room(subject) as room:
            grace = await room.enter("Grace")
            for _ in range(40):
                await room.enter("Ada")
            tabs = room.of("Ada")
            for tab in tabs[::5]:
                tab.stop_reading()
            path = f"{room.members.list_path(room.name)}/Ada"
            delete = subject.request("DELETE", path, likely=WAITS)
            await subject.simultaneously(*(tab.reset() for tab in tabs[1::5]), delete)
            room.forget(tabs)
            await room.receive(left("Ada"), [grace], "DELETE of Ada, who has forty tabs", likely=LEFT)
            for tab in tabs[2::5] + tabs[::5]:
                tab.read_again()
                await tab.is_closed(1008, "removed", likely=CLOSED)
            await room.say(grace, "after DELETE", likely=Likely(LATE_LEFT))
            await room.end()


class Delete:
    """A DELETE over a connection that's already open, so that one write sends it."""

    def __init__(self, path: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, patience: float) -> None:
        self._head = f"DELETE {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        self._reader = reader
        self._writer = writer
        self._patience = patience
        self._written = False

    @classmethod
    async def open(cls, subject: Subject, path: str) -> "Delete":
        """Connect to the server, without sending anything yet."""
        host, port = subject.server.url.split("/")[2].split(":")
        return cls(path, *await asyncio.open_connection(host, int(port)), subject.patience)

    async def write(self) -> None:
        """Send the request, if it wasn't sent before."""
        if not self._written:
            self._writer.write(self._head.encode())
        self._written = True

    async def send(self) -> None:
        """Send the request, as an action for `Subject.simultaneously`."""
        await self.write()

    async def status(self) -> int:
        """Return the status of the response, or 0 if there's none within the timeout."""
        try:
            async with asyncio.timeout(self._patience):
                return int((await self._reader.readline()).split()[1])
        except (TimeoutError, OSError, IndexError, ValueError):
            return 0
        finally:
            self._writer.close()


def json_of(frame: str | bytes) -> dict[str, object]:
    """Return the JSON object in a message, or an empty one."""
    value = parsed(frame)
    return value if isinstance(value, dict) else {}
