"""A member that reads nothing, and the messages that are queued for it, for the checks of step 07, TODO 2."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from judge.clients import Client, anything
from judge.members import PING, Members, joined, left, members_list, message
from judge.messages import is_error, parsed, show
from judge.model import Failure, Likely
from judge.sessions import read_on
from judge.subject import Subject

from .room import BLOCK, BLOCKED, BLOCKED_AT_LIMIT, BURST, STALLS, WAITING

FULL = "Linus reads nothing, and a large message has filled his connection"
AS_BEFORE = "The list of members isn't the first message of a new tab. Send it first, as in step 05."
KINDS = ("messages", "direct messages", "errors", "notices", "notices that members left", "messages of four kinds")
LARGER = 30
"""Large messages, 9 MB, to find out whether a limit counts bytes."""
HIGHEST = 310
"""Messages to queue, to find out whether a queue has a limit at all."""
UNLIMITED = {
    "messages": (
        "The queue of a member that reads nothing has no limit. Compare the number of queued messages with 64 before "
        "you queue one, and disconnect the tab instead of queueing the next."
    ),
    "direct messages": (
        "Direct messages to a member that reads nothing are queued without a limit, or with a higher one than the "
        "messages to the room. Let them go through the same function."
    ),
    "errors": (
        "Errors to a member that reads nothing are queued without a limit, or with a higher one than the messages to "
        "the room. Let them go through the same function."
    ),
    "notices": (
        "joined and left are queued for a member that reads nothing without a limit, or with a higher one than the "
        "messages to the room. Let them go through the same function."
    ),
    "notices that members left": (
        "left is queued for a member that reads nothing without a limit, or with a higher one than the messages to the "
        "room. Let it go through the same function."
    ),
    "messages of four kinds": (
        "Each kind of message has a limit of its own: 16 of each of four kinds were queued. Keep one queue for each "
        "tab, and count all its messages."
    ),
}
TOO_MANY = (
    "The limit of a queue is higher than 64 messages, or counts something else, such as bytes. Compare the number of "
    "queued messages of this tab with 64 before you queue one, and disconnect the tab instead of queueing the next."
)
LOSES = (
    "Messages are lost when a queue is full, and the member stays. Disconnect the tab instead, and leave what is "
    "queued as it is."
)
TOO_FEW = (
    "The queue of a tab holds fewer than 64 messages. Let 64 wait, not counting what the operating system and asyncio "
    "have taken, and disconnect the tab at the next."
)
TOO_FEW_AGAIN = (
    "A tab that has paused before and read on holds fewer messages than the first time. Count the messages that are "
    "queued now, and remember nothing of earlier ones."
)
TOO_FEW_OF = (
    "These messages fill the queue faster than messages to the room do: each is queued or counted more than once, or "
    "they have a lower limit. Queue each once, through the same function."
)
LISTED = (
    "A disconnected tab stays on the list until its connection ends. Remove it from the room when its queue "
    "overflows, and notify the others."
)
NO_LEFT = (
    "A disconnected tab is off the list, and the others get no left of its name. Disconnect it with the function that "
    "also notifies them."
)
CODE = Likely(
    silence="A disconnected tab that reads on isn't closed: its writer ends before the close, or the close isn't "
    "queued. Put the close event into the queue, behind the messages.",
    closed="Closing a tab aborts its connection or cancels its writer immediately. Only queue the close event there, "
    "and start a timer that aborts the connection after CLOSE_TIMEOUT.",
)
EMPTIED = (
    "What was queued for the tab isn't sent: the queue is emptied when the tab is closed, or the close overtakes it. "
    "Leave the queue as it is, and put the close at its end."
)
LOST_SENT = (
    "The message that is being sent is lost: a send that takes long is canceled. Let the writer await each send "
    "without wait_for or another time limit."
)
LOST_SOME = (
    "A queued message is lost: it makes room for the close, or for a later message. Leave the queue as it is, without "
    "a maxsize, compare its size with 64 before you queue a message, and put the close at its end."
)
OTHER_ROOM = (
    "Linus isn't in the room, and no left was sent: a full queue in another room has removed him here too. "
    "Disconnect only the tab whose own queue is full."
)
REMOVED_BY_OLD = (
    "A tab is off the list, and no left was sent: the end of another tab of its name removed it. When an endpoint "
    "ends, remove its own tab, and look whether that one is still in the room."
)
SHUFFLED = "The queue isn't sent in its order. Take the oldest message first, and send the close last."
AGAIN = "The tab gets a message of its queue twice. Take each off the queue once, when the writer sends it."
TWICE = (
    "left is sent a second time for a tab that was removed before. When its endpoint ends, look whether the tab is "
    "still in its room, and do nothing if it isn't."
)
STILL_HEARD = (
    "A disconnected tab's messages are still handled. Before you handle one, look whether this very tab is still in "
    "the room; its name may have rejoined."
)


class Backlog:
    """A room with Ada, who reads, and Linus, who doesn't.

    Args:
        subject: a server whose heartbeat is rarer than the checks are long.
        room: the name of the room.
        ada: Ada's tab.
        linus: Linus's tab. It has read its list.
        kind: the kind of the messages to queue, of `KINDS`.
        number: the number of messages that Ada has sent in this room.
    """

    def __init__(self, subject: Subject, room: str, ada: Client, linus: Client, kind: str, number: int = 0) -> None:
        self.subject, self.room, self.ada, self.linus, self.kind = subject, room, ada, linus, kind
        self.members = Members(subject)
        self.number = number
        self.queued: list[Any] = []
        """The messages that Linus must get, in order; None for an error."""
        self.is_left = False
        """Whether Ada got `left` of Linus."""
        self._marks = 0
        self._again = False
        self._after, self._blocked = FULL, BLOCKED
        self._visits = 0
        self._visitors: dict[str, Client] = {}
        self.stack = contextlib.AsyncExitStack()
        """The connections of the visitors."""

    async def fill(self, *, again: bool = False) -> None:
        """Stop reading as Linus, and send a message that's larger than all buffers of his connection.

        Args:
            again: whether he has paused and read on before.
        """
        self._again = again
        self.linus.stop_reading()
        # The server's system buffers more for a client that has read a lot.
        await self._say(7 * BLOCK if again else BLOCK)
        await self._until_mark([], "a large message")

    async def add(self, count: int) -> None:
        """Queue further messages of the kind for Linus, and check what Ada gets meanwhile."""
        what = f"{count} {self.kind} for Linus" if count > 1 else f"one more of the {self.kind} for Linus"
        if self.kind != KINDS[-1]:
            await self._add(self.kind, count, what)
        else:
            for place, kind in enumerate(KINDS[:4]):
                share = count // 4 + (place < count % 4)
                if share:
                    await self._add(kind, share, what)

    async def _add(self, kind: str, count: int, what: str) -> None:
        expected: list[dict[str, Any]] = []
        if kind == "messages":
            await self.ada.send_burst(*({"type": "message", "text": f"small {n}"} for n in range(count)))
            for place in range(count):
                self.number += 1
                expected.append(message(self.number, "Ada", f"small {place}"))
            self.queued += expected
        elif kind == "direct messages":
            texts = [f"note {n}" for n in range(count)]
            await self.ada.send_burst(*({"type": "direct", "to": "Linus", "text": text} for text in texts))
            self.queued += [{"type": "direct", "from": "Ada", "text": text} for text in texts]
        elif kind == "errors":
            mark = self._next_mark()
            await self.linus.send_burst(*["bad"] * count, {"type": "direct", "to": "Ada", "text": mark})
            self.queued += [None] * count
            # This arrives unless Linus is removed before.
            await self._until({"type": "direct", "from": "Linus", "text": mark}, [], what, or_left=True)
            return
        elif kind == KINDS[-2] and count > 1:
            for _ in range(2):
                expected += [await self._visit()]
            self.queued += expected
            await self._until_mark(expected, what)
            return await self._add("messages", count - 2, what)
        elif kind == KINDS[-2]:
            expected.append(await self._visitor_leaves())
            self.queued += expected
        else:
            for _ in range(count // 2):
                expected += [await self._visit(), await self._visitor_leaves()]
            if count % 2:
                # This one stays, so that nothing but joined is queued.
                expected.append(await self._visit())
            self.queued += expected
        await self._until_mark(expected, what)

    async def _visit(self) -> dict[str, Any]:
        """Let a visitor join, and return the notice."""
        self._visits += 1
        name = f"visitor {self._visits}"
        visitor = await self.stack.enter_async_context(self.subject.client(Members.path(self.room, name)))
        visitor.ignored = PING
        await members_list(visitor, Members.path(self.room, name), likely=AS_BEFORE)
        self._visitors[name] = visitor
        return joined(name)

    async def _visitor_leaves(self) -> dict[str, Any]:
        """Let the first visitor leave, and return the notice."""
        name = next(iter(self._visitors))
        await self._visitors.pop(name).leave()
        return left(name)

    async def _say(self, text: str) -> None:
        self.number += 1
        self.queued.append(message(self.number, "Ada", text))
        await self.ada.send({"type": "message", "text": text})
        self.ada.did = f"a message of {len(text):,} characters"
        await self.ada.gets(self.queued[-1], likely=Likely(STALLS, wrong=STILL_HEARD, closed=BURST))

    def _next_mark(self) -> str:
        self._marks += 1
        return f"mark {self._marks}"

    async def _until_mark(self, expected: list[dict[str, Any]], what: str) -> None:
        """Check that Ada gets these messages before a direct message to herself."""
        mark = self._next_mark()
        await self.ada.send({"type": "direct", "to": "Ada", "text": mark})
        await self._until({"type": "direct", "from": "Ada", "text": mark}, expected, what)

    async def _until(
        self, last: dict[str, Any], expected: list[dict[str, Any]], what: str, *, or_left: bool = False
    ) -> None:
        rest = list(expected)
        self.ada.after, self.ada.did = self._after, what
        while True:
            wanted = rest[0] if rest else last
            expect = show(wanted) + (", Ada's direct message to herself" if wanted is last and not or_left else "")
            value = await self.ada.next_object(expect=expect, likely=self._blocked)
            if value == left("Linus"):
                if self.is_left:
                    raise Failure(sent=what, after=FULL, got=f"{show(value)} twice", expect="once", likely=TWICE)
                self.is_left = True
                if or_left:
                    return
            elif rest and value == rest[0]:
                rest.pop(0)
            elif value == last and not rest:
                return
            else:
                fields = value if isinstance(value, dict) else {}
                likely = STILL_HEARD if fields.get("from") == "Linus" else LOST
                if fields.get("type") == "error" and not self.is_left:
                    likely = OTHER_ROOM
                raise Failure(sent=what, after=FULL, got=show(value), expect=show(wanted), likely=likely)

    async def stays(self) -> None:
        """Check that Linus is still in the room.

        Raises:
            Failure: he isn't.
        """
        queued = len(self.queued) - 1
        likely = TOO_FEW_AGAIN if self._again else TOO_FEW if self.kind == "messages" else TOO_FEW_OF
        expect = f"no left of Linus: {WAITING} messages may wait for a tab"
        if self.is_left:
            got = f"left of Linus after at most {queued} {self.kind}"
            raise Failure(sent=self.ada.did, after=FULL, got=got, expect=expect, likely=likely)
        after = f"{FULL}, and {queued} {self.kind} are queued for him"
        await self.members.are(self.room, "Ada", "Linus", *self._visitors, after=after, likely=REMOVED_BY_OLD)

    async def overflows(self) -> None:
        """Queue more messages than the limit, and check that Linus is off the list immediately.

        Raises:
            Failure: he isn't.
        """
        self._after = f"{FULL}, and {len(self.queued) - 1} {self.kind} are queued for him"
        self._blocked = BLOCKED_AT_LIMIT
        # The writer may hold one more, which asyncio hasn't taken.
        for _ in range(2):
            before = len(self.queued) - 1
            await self.add(1)
            if self.is_left:
                break
        after = f"{FULL}, and {before} {self.kind} are queued for him; then comes one more"
        path = Members.list_path(self.room)
        listed = await self.subject.get_json(path, likely=LISTED)
        names = ["Ada", *sorted(self._visitors)]
        if listed != {"names": names} or not self.is_left:
            got = "left of Linus" if self.is_left else "no left of Linus"
            got += f", and GET {path} returns {show(listed)}"
            likely = LISTED if self.is_left else NO_LEFT
            if not self.is_left and listed != {"names": names}:
                more, likely = await self._why_not()
                got += more
            expect = f"left of Linus, and {show({'names': names})}: {WAITING} messages may wait, and one be sent"
            raise Failure(after=after, got=got, expect=expect, likely=likely)

    async def _why_not(self) -> tuple[str, str]:
        """Find out why a queue doesn't overflow: return what Linus gets further on, and the cause."""
        if self.kind != "messages":
            return "", UNLIMITED[self.kind]
        while not self.is_left and len(self.queued) < HIGHEST:
            await self.add(1)
        if self.is_left:
            return f"; left of Linus after {len(self.queued) - 1} messages", TOO_MANY
        for _ in range(LARGER):
            await self._say(BLOCK)
            await self._until_mark([], "a large message")
            if self.is_left:
                return f"; left of Linus after {len(self.queued) - 1} messages, some of them large", TOO_MANY
        read_on(self.linus)
        got = []
        while (frame := await self.linus.receives_any()) is not None:
            got.append(parsed(frame))
        missing = [each for each in self.queued if each not in got]
        if missing and self.linus.connection.close_code is None:
            return f"; {len(missing)} of {len(self.queued)} messages never reach Linus", LOSES
        return f"; no left after {len(self.queued) - 1} messages either", UNLIMITED[self.kind]

    async def reads_on(
        self, code: int = 1013, reason: str | None = None, *, did: str = "", closed: str = CODE.closed
    ) -> None:
        """Read on as Linus, and check that he gets what was queued, and then the close code.

        Args:
            code: the close code.
            reason: the reason; by default any.
            did: what Linus did, for a failure.
            closed: the cause, if the connection is aborted.

        Raises:
            Failure: he doesn't.
        """
        read_on(self.linus)
        self.linus.did = did or "nothing; Linus was disconnected when 64 messages waited, and reads on"
        came = await self.linus.is_closed(code, reason, likely=replace(CODE, closed=closed), besides=anything)
        self._are_queued(came, f"and then close code {code}", may_lack=1)

    async def gets_all(self) -> None:
        """Read on as Linus, who is still in the room, and check that he gets what was queued."""
        # With his small buffer, so that it can be filled again. That's slow on a busy machine.
        self.linus.patience = 5 * self.subject.patience
        if self._again:
            read_on(self.linus)
        else:
            self.linus.read_again()
        self.linus.did = "nothing; Linus paused, and reads on"
        expect = f"message {len(self.queued)} of {len(self.queued)} queued ones, and the connection still open"
        came = [await self.linus.next(expect=expect, likely=CLOSED_AT_LIMIT) for _ in self.queued]
        self._are_queued(came, "and nothing else", may_lack=0)
        self.queued.clear()

    def _are_queued(self, came: list[str | bytes], then: str, *, may_lack: int) -> None:
        got = [None if is_error(frame) else parsed(frame) for frame in came]
        # The message that overflows the queue may be delivered too, or not.
        if got in (self.queued, self.queued[: len(self.queued) - may_lack]):
            return
        place = next((n for n, pair in enumerate(zip(got, self.queued, strict=False)) if pair[0] != pair[1]), len(got))
        shown = f"{len(got)} messages {then}"
        if place < min(len(got), len(self.queued)):
            shown = f"{show(came[place])} as message {place + 1} of the queue, {len(got)} messages in all"
            wanted = "an error" if self.queued[place] is None else show(self.queued[place])
            expect = f"{wanted} as message {place + 1}"
            likely = SHUFFLED if got[place] in self.queued[place:] and len(got) >= len(self.queued) - 1 else EMPTIED
            if got[place] in self.queued[:place] and got[place] is not None:
                likely = AGAIN
            elif got[place:] == self.queued[place + 1 : place + 1 + len(got[place:])]:
                # The writer holds the first small message, as the large one fills the connection.
                likely = LOST_SENT if place == 1 else LOST_SOME
        else:
            expect = f"the {len(self.queued) - may_lack} messages that were queued, in order, {then}"
            likely = EMPTIED if len(got) < len(self.queued) else STILL_QUEUED
        raise Failure(sent=self.linus.did, after=FULL, got=shown, expect=expect, likely=likely)

    async def says(self, *notices: dict[str, Any]) -> None:
        """Check that Ada gets only these notices, and then the next message."""
        while self._visitors:
            notices = (*notices, await self._visitor_leaves())
        for notice in notices:
            await self.ada.gets(notice, likely=TWICE)
        self.number += 1
        await self.ada.send({"type": "message", "text": "still here"})
        likely = Likely(STALLS, wrong=TWICE, surplus=TWICE, closed=BURST, keys={"id": STILL_HEARD})
        await self.ada.gets(message(self.number, "Ada", "still here"), likely=likely)


STILL_QUEUED = (
    "A removed tab is still sent messages of the room. Remove it from the room first, and send to the tabs in the room."
)
LOST = (
    "A member that reads misses a message, or gets another one, because a queue of the room is full. Queue each "
    "message for all tabs, and close those that are full after the loop."
)
CLOSED_AT_LIMIT = Likely(
    silence="A tab that reads on isn't sent its queue: its writer has ended, or waits for something else.",
    closed="A tab is disconnected although only 64 messages are queued for it, or because a send to it took long. "
    "Disconnect it only when a message finds 64 in the queue.",
)


@contextlib.asynccontextmanager
async def backlog(subject: Subject, kind: str = "messages", room: str | None = None) -> AsyncIterator[Backlog]:
    """Open a room in which Linus reads nothing from now on, and fill his connection.

    Args:
        subject: a server whose heartbeat is rarer than the checks are long.
        kind: the kind of the messages to queue.
        room: the room; by default a new one.
    """
    members = Members(subject)
    room = room or members.room()
    async with members.tab(room, "Ada") as ada, members.tab(room, "Linus", tiny=True) as linus:
        # The server may send pings, if it's not one of QUIET.
        ada.ignored = linus.ignored = PING
        await members_list(ada, Members.path(room, "Ada"), likely=AS_BEFORE)
        await members_list(linus, Members.path(room, "Linus"), likely=AS_BEFORE)
        await ada.gets(joined("Linus"), likely=AS_BEFORE)
        filled = Backlog(subject, room, ada, linus, kind)
        await filled.fill()
        async with filled.stack:
            yield filled
