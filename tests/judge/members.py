"""Members with names, from step 05 on: their tabs, and the notices and messages that they get."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

from .clients import Client
from .messages import show
from .model import Failure
from .pool import number
from .subject import Subject

BAD: tuple[str | bytes, ...] = (
    "hello",
    "",
    '{"type": "message", "text": ',
    "[]",
    '"message"',
    "null",
    "1",
    "{}",
    '{"text": "hello"}',
    '{"type": "whisper", "text": "hello"}',
    '{"type": null, "text": "hello"}',
    '{"type": ["message"], "text": "hello"}',
    '{"type": {"message": 1}, "text": "hello"}',
    '{"type": "message"}',
    '{"type": "message", "text": null}',
    '{"type": "message", "text": 1}',
    '{"type": "message", "text": ["hello"]}',
    b"\x00\x01",
    b"",
    b'{"type": "message", "text": "hello"}',
)
"""Messages that a client may send by mistake or on purpose, and that must be answered with an error."""
BAD_DIRECT = (
    '{"type": "direct", "text": "hello"}',
    '{"type": "direct", "to": "Ada"}',
    '{"type": "direct", "to": null, "text": "hello"}',
    '{"type": "direct", "to": ["Ada"], "text": "hello"}',
    '{"type": "direct", "to": "Ada", "text": 1}',
)
PING = {"type": "ping"}
"""The heartbeat of the server, from step 07 on."""
TEXTS = ("hello", "", "안녕하세요 <b>&amp;</b>", '{"type": "left", "name": "Ada"}', "two\nlines", "x" * 100_000)


class Members:
    """The members of an answer's rooms.

    Args:
        subject: the running answer.
        ignored: a message that the tabs skip; see `Client.ignored`.
    """

    def __init__(self, subject: Subject, ignored: dict[str, Any] | None = None) -> None:
        self.subject = subject
        self.ignored = ignored

    @staticmethod
    def room(kind: str = "lobby") -> str:
        """Return a room that no other check uses, so that checks can run side by side."""
        return f"{kind}-{number()}"

    @staticmethod
    def path(room: str, name: str, **query: str) -> str:
        """Return the path of a connection."""
        more = "".join(f"&{key}={quote(value, safe='')}" for key, value in query.items())
        return f"/ws/{quote(room, safe='')}?name={quote(name, safe='')}{more}"

    @asynccontextmanager
    async def tab(
        self, room: str, name: str, *, small_buffers: bool = False, tiny: bool = False
    ) -> AsyncIterator[Client]:
        """Connect a tab of this name; see `handshakes.handshake`."""
        async with self.subject.client(self.path(room, name), small_buffers=small_buffers, tiny=tiny) as tab:
            tab.ignored = self.ignored
            yield tab

    async def enters(self, tab: Client, *names: str, likely: str) -> None:
        """Check that the first message of a new tab is the list of these names.

        Raises:
            Failure: it isn't.
        """
        await tab.gets({"type": "members", "names": sorted(names)}, likely=likely)

    async def are(self, room: str, *names: str, after: str, likely: str) -> None:
        """Check that `GET /rooms/{room_id}/members` has these names now.

        Raises:
            Failure: it has others.
        """
        path = self.list_path(room)
        got = await self.subject.get_json(path, likely=likely)
        if got != {"names": sorted(names)}:
            expect = show({"names": sorted(names)})
            raise Failure(sent=f"GET {path}", after=after, got=show(got), expect=expect, likely=likely)

    async def eventually_empty(self, room: str, *, after: str, likely: str) -> None:
        """Wait until `GET /rooms/{room_id}/members` returns 404, at most for the patience.

        Raises:
            Failure: it doesn't in time.
        """
        await self.subject.eventually_answers(404, self.list_path(room), after=after, likely=likely)

    @staticmethod
    def list_path(room: str) -> str:
        """Return the path of the list of a room's members."""
        return f"/rooms/{quote(room, safe='')}/members"

    async def remove(self, room: str, name: str, *, expect: int = 204, after: str | None = None, likely: str) -> None:
        """Send `DELETE /rooms/{room_id}/members/{name}`, and check the status.

        Raises:
            Failure: the status is another one, or a 204 has a body.
        """
        path = f"{self.list_path(room)}/{quote(name, safe='')}"
        response = await self.subject.request("DELETE", path, likely=likely)
        if response.status_code != expect or (expect == 204 and response.content):
            got = f"status {response.status_code}, {show(response.text)}"
            raise Failure(
                sent=f"DELETE {path}",
                after=after,
                got=got,
                expect=f"status {expect}" + (" without a body" if expect == 204 else ""),
                likely=likely,
                broken=response.status_code == 500,
            )


async def members_list(tab: Client, path: str, *, likely: str) -> dict[str, Any]:
    """Read the first message of a new tab, which must be the list of members.

    Args:
        tab: a tab that has read nothing yet.
        path: the path of its connection.
        likely: the mistake, if another message arrives first.

    Raises:
        Failure: the first message isn't the list.
    """
    first = await tab.next_object(expect="the list of members", likely=likely)
    if not isinstance(first, dict) or first.get("type") != "members":
        raise Failure(sent=f"a handshake for {path}", got=show(first), expect="the list first", likely=likely)
    return first


def said(sender: str, text: str) -> dict[str, Any]:
    """Return a message as all members of the room get it."""
    return {"type": "message", "from": sender, "text": text}


def message(number: int, sender: str, text: str) -> dict[str, Any]:
    """Return a message as all members of the room get it, from step 07 on: with an id."""
    return {"type": "message", "id": number, "from": sender, "text": text}


def joined(name: str) -> dict[str, Any]:
    """Return the notice that a member has joined."""
    return {"type": "joined", "name": name}


def left(name: str) -> dict[str, Any]:
    """Return the notice that a member has left."""
    return {"type": "left", "name": name}


class View:
    """The members of a room, according to the messages that one tab has received.

    Args:
        tab: a tab that has received nothing yet.
        own: the name of its member.
    """

    def __init__(self, tab: Client, own: str) -> None:
        self.tab = tab
        self.own = own
        self.who = f"a tab of {own}"
        self.names: set[str] | None = None
        """The members, according to the messages so far; None before the list."""
        self._told: list[str] = []

    async def settles(self, names: set[str], *, after: str, likely: str) -> None:
        """Read messages until exactly these names are in the room.

        Raises:
            Failure: the names never match, or a message contradicts the earlier ones.
        """
        while self.names != names:
            try:
                await self._next(after, likely)
            except Failure as failure:
                if "no answer" not in failure.got or self.names is None:
                    raise
                got = f"{self.who} knows of {len(self.names)} members"
                for title, some in (("missing", names - self.names), ("too many", self.names - names)):
                    got += f", {title}: {', '.join(sorted(some)[:3])}" if some else ""
                raise Failure(after=after, got=got, expect=f"the {len(names)} who are there", likely=likely) from None

    async def _next(self, after: str, likely: str) -> Any:
        expect = "the list first, and then notices that fit it: who joins was not there, who leaves was"
        self.tab.did = after
        frame = await self.tab.next(expect=expect, likely=likely)
        self._told.append(show(frame))
        match value := _object(frame):
            case {"type": "members", "names": list(names)} if self.names is None:
                self.names = set(names)
                fits = self.own in self.names and names == sorted(self.names)
            case {"type": "joined", "name": str(name)} if self.names is not None:
                fits = name not in self.names
                self.names.add(name)
            case {"type": "left", "name": str(name)} if self.names is not None:
                fits = name in self.names
                self.names.discard(name)
            case {"type": "message"} if self.names is not None:
                fits = True
            case _:
                fits = False
        if not fits:
            before = f" after {', '.join(self._told[-4:-1])}" if self._told[:-1] else " first"
            raise Failure(
                after=after, got=f"{self.who} received {self._told[-1]}{before}", expect=expect, likely=likely
            )
        return value


def _object(frame: str | bytes) -> Any:
    try:
        return json.loads(frame) if isinstance(frame, str) else None
    except ValueError:
        return None
