"""A room of step 05 and its tabs: after each action, each tab must receive the right messages, and nothing else."""

import ast
import asyncio
import contextlib
import itertools
import json
import socket
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from websockets.exceptions import ConnectionClosed

from . import conversation
from .clients import Client
from .members import Members, joined, left, said
from .messages import parsed, show
from .model import Failure, Likely
from .subject import Subject
from .tasks import spawn, stop, together

ENDS = ("leave", "finish", "reset")
PAUSE = 1.05
"""Seconds for which a tab reads nothing."""
LARGE = "x" * 262_144
MANY = 14
"""The number of large messages: 3.5 MiB. The buffers on the way to a client with small buffers hold 2.9 MB."""
_numbers = itertools.count(1)

LIST = Likely(
    silence="A new tab gets no list. Add the tab to its room, and then send the list to this tab.",
    surplus="A new tab gets a notice before its list, or the list twice. Send it the list first, and once.",
    closed="Your endpoint ends before it sends the list. Look at what it does after accept().",
)
JOINED = Likely(
    silence="No joined is sent to this tab. Send it to every tab of every other name when a name's first tab joins.",
    wrong="Another message is sent where joined belongs. Send exactly the type and the name.",
    elsewhere="joined goes to the wrong tabs. Send it to the tabs of the other names in this room.",
)
LEFT = Likely(
    silence="No left is sent to this tab when the last tab of a name ends like this. Remove the tab in finally, and "
    "then send left to every tab of every other name.",
    wrong="Another message is sent where left belongs. Send exactly the type and the name.",
    elsewhere="left goes to the wrong tabs. Send it to the tabs of the other names in this room.",
)
ITSELF = "A name gets a notice about itself. Send notices to the tabs of other names only."
OLDER_TAB = (
    "An older tab of the name gets a message when a new tab joins. Send the list to the new tab alone, and notices to "
    "the other names."
)
SECOND_TAB = "joined is sent for a further tab of a name. Send it only if the name had no tab in this room before."
OTHER_TAB = (
    "left is sent although the name has another tab in the room. Remove the connection that ended, alone: two tabs may "
    "share an address and a cookie. Send left with the name's last tab."
)
MESSAGE = Likely(
    silence="This tab doesn't get the message. Send it to every tab of every name in the room.",
    keys={"from": "from isn't the sender's name. Use the endpoint's own parameter name, whatever the client writes."},
    elsewhere="The message goes to other tabs only. Send it to every tab of every name in the room.",
)
BACKGROUND = (
    "Your endpoint sends with BackgroundTasks, which never run on a WebSocket route: FastAPI runs them after an HTTP "
    "response. Await the send."
)


class Room:
    """A room of an answer that no other check uses.

    Args:
        subject: the running answer.
        name: the name of the room; by default a plain one.
    """

    def __init__(self, subject: Subject, name: str | None = None) -> None:
        self.subject = subject
        self.members = Members(subject)
        self.name = name or f"room-{next(_numbers)}"
        self.tabs: dict[Client, str] = {}
        """The open tabs and their names, in the order in which they joined."""
        self._stack = contextlib.AsyncExitStack()
        self._surplus: dict[Client, str] = {}

    async def __aenter__(self) -> "Room":
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    @property
    def names(self) -> list[str]:
        """The names in the room, sorted as Python sorts."""
        return sorted(set(self.tabs.values()))

    def of(self, name: str) -> list[Client]:
        """Return the tabs of a name."""
        return [tab for tab, other in self.tabs.items() if other == name]

    def others(self, name: str) -> list[Client]:
        """Return the tabs of all other names."""
        return [tab for tab, other in self.tabs.items() if other != name]

    async def enter(
        self,
        name: str,
        *,
        small_buffers: bool = False,
        tiny: bool = False,
        listed: Likely = LIST,
        noticed: Likely = JOINED,
        unread: Sequence[Client] = (),
    ) -> Client:
        """Connect a tab: check that it gets the list, and that the others get `joined` if it's the name's first.

        Args:
            name: the member's name.
            small_buffers: see `handshakes.handshake`.
            tiny: see `handshakes.handshake`.
            listed: the mistake, if the list is wrong.
            noticed: the mistake, if a notice is wrong.
            unread: tabs that don't read now.
        """
        count = len(self.of(name))
        where = f" (tab {count + 1})" if count else ""
        path = Members.path(self.name, name)
        client = self.subject.client(path, who=f"{name}{where}", small_buffers=small_buffers, tiny=tiny)
        tab = await self._stack.enter_async_context(client)
        older = list(self.tabs)
        self.tabs[tab] = name
        action = f"a handshake with the name {show_name(name)}" + (f", its tab {count + 1}" if count else "")
        tab.did = action
        await tab.gets({"type": "members", "names": self.names}, likely=listed)
        others = [each for each in older if self.tabs[each] != name]
        if not count:
            await self.receive(joined(name), others, action, likely=noticed, unread=unread)
        else:
            self.expect_nothing(others, action, SECOND_TAB)
        self.expect_nothing([each for each in older if self.tabs[each] == name], action, OLDER_TAB)
        self._surplus[tab] = ITSELF
        return tab

    async def leave(self, tab: Client, end: str = "leave", *, likely: Likely = LEFT) -> None:
        """End a tab, and check that the others get `left` if it was the name's last."""
        name = self.tabs.pop(tab)
        await getattr(tab, end)()
        await self._is_left(name, f"{tab.who} sent {tab.did}", likely)

    async def _is_left(self, name: str, action: str, likely: Likely) -> None:
        if self.of(name):
            self.expect_nothing(list(self.tabs), action, OTHER_TAB)
        else:
            await self.receive(left(name), list(self.tabs), action, likely=likely)

    async def receive(
        self,
        message: dict[str, Any],
        tabs: Iterable[Client],
        action: str,
        *,
        likely: Likely,
        unread: Sequence[Client] = (),
    ) -> None:
        """Check that each of these tabs gets this message next.

        Args:
            message: the message.
            tabs: tabs of the room.
            action: the cause of the message.
            likely: the mistake, if a tab doesn't get it.
            unread: tabs among them that don't read now.
        """
        for tab in tabs:
            if tab not in unread:
                tab.did = action
                try:
                    await tab.gets(message, likely=self._with_surplus(tab, likely))
                except Failure as failure:
                    if (
                        failure.broken
                        and message["type"] in ("message", "direct")
                        and uses_background_tasks(self.subject)
                    ):
                        failure.likely = BACKGROUND
                    raise
                tab.earlier = None
                self._surplus.pop(tab, None)

    def _with_surplus(self, tab: Client, likely: Likely) -> Likely:
        return replace(likely, surplus=self._surplus[tab]) if tab in self._surplus else likely

    def expect_nothing(self, tabs: Iterable[Client], action: str, likely: str) -> None:
        """Note that these tabs must receive nothing after this action; their next message shows whether they did."""
        for tab in tabs:
            tab.earlier = action
            self._surplus[tab] = likely

    async def say(
        self, tab: Client, text: str, *, message: str | None = None, what: str = "", likely: Likely = MESSAGE
    ) -> None:
        """Send a message, and check that every tab in the room gets it, with the sender's name.

        Args:
            tab: the sender.
            text: the text of the message.
            message: the JSON to send; by default as Python spells it.
            what: the special property of the message, for a failure.
            likely: the mistake, if a tab doesn't get it.
        """
        await tab.send(message if message is not None else {"type": "message", "text": text})
        name, action = self.tabs[tab], (f"{what}: " if what else "") + tab.did
        for each, other in list(self.tabs.items()):
            cause = likely
            if likely is MESSAGE and each is tab:
                cause = replace(MESSAGE, silence="The sender gets no copy of its own message. Send it to all tabs.")
            elif likely is MESSAGE and len(self.of(other)) > 1:
                some = "Only some tabs of a name get a message. Keep every tab of a name in a set, without a limit."
                cause = replace(MESSAGE, silence=some, elsewhere=some)
            sender = action if each is tab else f"{action}, from {tab.who}"
            await self.receive(said(name, text), [each], sender, likely=cause)

    async def visit(self, *, likely: str = "") -> None:
        """Let a visitor join and leave, so that a surplus message is found before the next action.

        Args:
            likely: the mistake, if a notice is wrong.
        """
        noticed = Likely(likely) if likely else JOINED
        visitor = await self.enter(f"Visitor {next(_numbers)}", noticed=noticed)
        await self.leave(visitor)

    async def enter_many(self, name: str, count: int) -> list[Client]:
        """Connect further tabs of a name that is in the room, at the same time; each gets the list."""
        clients = [
            self.subject.client(Members.path(self.name, name), who=f"{name} (further tab)") for _ in range(count)
        ]
        tabs = await together(*map(self._stack.enter_async_context, clients))
        self.tabs.update(dict.fromkeys(tabs, name))
        for tab in tabs:
            await tab.gets({"type": "members", "names": self.names}, likely=LIST)
        return tabs

    async def end(self) -> None:
        """Let the tabs leave one by one: check that each has received nothing more, and that the others get `left`."""
        for tab, name in list(self.tabs.items()):
            await tab.has_nothing_more(likely=self._surplus.get(tab, ""))
            del self.tabs[tab]
            await self._is_left(name, f"{tab.who} sent a close frame", LEFT)

    async def remove(self, name: str, *, likely: str = "") -> list[Client]:
        """DELETE a member that is in the room, check that the others get `left`, and return the unread tabs."""
        await self.members.remove(self.name, name, likely=likely or REMOVES)
        removed = self.of(name)
        self.forget(removed)
        silent = "DELETE removes the name and the others get no left. Send it to every tab of the other names."
        wrong = "After DELETE, the others get another message than left. Send exactly the type and the name."
        await self.receive(left(name), self.others(name), f"DELETE of {show_name(name)}", likely=Likely(silent, wrong))
        return removed

    def forget(self, tabs: Iterable[Client]) -> None:
        """Note that these tabs are no longer in the room."""
        for tab in tabs:
            self.tabs.pop(tab, None)

    async def are(self, *, after: str, likely: str) -> None:
        """Check that `GET /rooms/{room_id}/members` has exactly the names in the room."""
        await self.members.are(self.name, *self.names, after=after, likely=likely)

    @contextlib.asynccontextmanager
    async def flood(self, sender: Client, to: str | None = None) -> AsyncIterator["Flood"]:
        """Let `sender` send more than the buffers of a tab that doesn't read hold, until nothing moves.

        Args:
            sender: a tab.
            to: the name that direct messages go to; by default messages go to all.
        """
        flood = Flood(sender, self.tabs[sender], to)
        task = spawn(flood.send())
        try:
            await self.subject.stands_still(lambda: flood.sent)
            yield flood
            await asyncio.wait([task], timeout=self.subject.patience)
        finally:
            await stop(task)


REMOVES = "DELETE finds no such member, or ends with an error. Look up the name as it is in the path."


class Flood:
    """Large messages of one sender.

    Args:
        sender: the sender's tab.
        name: the sender's name.
        to: the name that direct messages go to, or None for messages to all.
    """

    def __init__(self, sender: Client, name: str, to: str | None = None) -> None:
        self._sender = sender
        texts = [f"{number} {LARGE}" for number in range(MANY)]
        self._requests = [{"type": "direct", "to": to, "text": text} if to else said("", text) for text in texts]
        self.messages = [{"type": "direct", "from": name, "text": text} if to else said(name, text) for text in texts]
        """The messages that its receivers must get."""
        self.sent = 0

    async def send(self) -> None:
        """Send all messages."""
        with contextlib.suppress(ConnectionClosed):
            for request in self._requests:
                await self._sender.connection.send(json.dumps(request))
                self.sent += 1

    def has(self, frame: str | bytes) -> bool:
        """Return whether this is one of its messages."""
        return len(frame) > len(LARGE) and parsed(frame) in self.messages


async def interleaved(
    tab: Client,
    *sequences: Sequence[dict[str, Any]],
    likely: str | Likely,
    besides: Callable[[str | bytes], bool] = lambda frame: False,
) -> None:
    """Check that the next messages of a tab are those of these sequences, each in its order.

    Args:
        tab: the tab.
        sequences: the messages.
        likely: the mistake, if others arrive.
        besides: a function that returns whether a message may arrive in between.

    Raises:
        Failure: one is missing, is changed, is duplicated or overtakes another one of its sequence.
    """
    rest = [deque(sequence) for sequence in sequences if sequence]
    while rest := [each for each in rest if each]:
        head = rest[-1][0]
        frame = await tab.next(expect=show(head), likely=likely)
        value = parsed(frame)
        if besides(frame):
            continue
        for each in rest:
            if value == each[0]:
                each.popleft()
                break
        else:
            # Fail with the full comparison.
            tab._unread.appendleft(frame)
            tab.earlier = tab.did
            await tab.gets(head, likely=likely)


async def pause(since: float) -> None:
    """Wait until `PAUSE` seconds have passed since this time of `time.monotonic()`."""
    await conversation.pause(max(0.0, since + PAUSE - time.monotonic()))


def read_on(tab: Client) -> None:
    """Resume reading after `stop_reading`, with a larger receive buffer, because a small one would make that slow."""
    tab.connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    tab.read_again()


async def read_while(tab: Client, skips: Callable[[str | bytes], bool]) -> None:
    """Read messages as long as `skips` returns True. Wait for each at most for the tab's patience."""
    while (frame := await tab._look_ahead(tab.patience)) is not None and skips(frame):
        await tab._receive()


def show_name(name: str) -> str:
    """Return a name as a failure shows it: quoted, with its white space."""
    return json.dumps(name, ensure_ascii=False)


def sources(subject: Subject) -> list[str]:
    """Return the texts of the answer's modules, to decide between causes."""
    found = []
    for path in (subject.folder / "exercise").glob("*.py"):
        with contextlib.suppress(ValueError, OSError):
            found.append(path.read_text("utf-8"))
    return found


def uses_background_tasks(subject: Subject) -> bool:
    """Return whether a WebSocket route of the answer has a parameter of the type BackgroundTasks."""
    for text in sources(subject):
        with contextlib.suppress(SyntaxError, ValueError):
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef):
                    routes = [ast.unparse(each) for each in node.decorator_list]
                    if any(".websocket(" in each for each in routes) and "BackgroundTasks" in ast.unparse(node.args):
                        return True
    return False
