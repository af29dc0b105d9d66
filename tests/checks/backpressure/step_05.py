"""Step 07, TODO 1: the requirements of step 05, judged by the checks of step 05."""

import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from judge.clients import Client
from judge.members import PING
from judge.messages import parsed, show
from judge.model import Failure, check
from judge.subject import Subject

from ..sessions.counts import Counts
from ..sessions.direct import Direct
from ..sessions.listing import Listing
from ..sessions.messages import Messages
from ..sessions.presence import Presence
from ..sessions.removal import Removal
from ..sessions.tabs import Tabs
from .room import IDS

SKIPPED = (
    "A tab misses a number: a message took an id and wasn't sent to this tab, or something else took one. Take the id "
    "right before you send the message to all tabs of the room."
)
TWO_OF_ONE = (
    "Two messages to a room have the same id: one of them took no new id. Take one for each message, also for an empty "
    "text, and take and store it without an await in between."
)
OTHER = "Two tabs get different messages with the same id. Take one id for each message, and send the same to all tabs."
ONE = "The first message of a new room hasn't the id 1. Count the ids of each room apart, by its exact name."


class Ids:
    """The ids of messages on all connections of a check, and the messages without them, as in step 05."""

    def __init__(self) -> None:
        self._rooms: dict[str, dict[int, int]] = {}
        """By room and id: the hash of a message."""

    def watch(self, tab: Client) -> None:
        """Check the ids of this tab's messages from now on, and take them out; skip pings."""
        room = (tab.path or "").partition("?")[0]
        is_new = room not in self._rooms
        known = self._rooms.setdefault(room, {})
        last: list[int] = [0] if is_new else []

        def translate(frame: str | bytes) -> str | bytes:
            if isinstance(frame, str) and (begin := BEGIN.match(frame)):
                # The usual form: save the time to parse it.
                number, rest = int(begin[2]), frame[begin.end() :]
                content, translated = hash(rest), begin[1] + rest
            else:
                value = parsed(frame) if isinstance(frame, str) else None
                if not isinstance(value, dict) or value.get("type") != "message":
                    return frame
                number = value.pop("id", None)
                content, translated = hash(str(value)), json.dumps(value, ensure_ascii=False)
            expect = f"a message with the id {last[0] + 1}" if last else "a message with an id"
            if type(number) is not int or number < 1:
                raise Failure(sent=tab.did, after=tab.after, got=show(frame), expect=expect, likely=IDS)
            if last and number != last[0] + 1:
                likely = ONE if not last[0] else TWO_OF_ONE if number == last[0] else SKIPPED
                raise Failure(sent=tab.did, after=tab.after, got=show(frame), expect=expect, likely=likely)
            if known.setdefault(number, content) != content:
                expect = f"the message that another tab got with the id {number}"
                raise Failure(sent=tab.did, after=tab.after, got=show(frame), expect=expect, likely=OTHER)
            last[:] = [number]
            return translated

        tab.ignored, tab.translate = PING, translate


class NumberedSubject:
    """An answer whose messages have ids, for checks of step 05, which expect none.

    Args:
        subject: the running answer.
        ids: the ids of all messages so far.
    """

    def __init__(self, subject: Subject, ids: Ids | None = None) -> None:
        self._subject = subject
        self._ids = ids or Ids()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._subject, name)

    @asynccontextmanager
    async def client(self, *args: Any, **options: Any) -> AsyncIterator[Client]:
        """Connect a client; see `Subject.client`."""
        async with self._subject.client(*args, **options) as tab:
            self._ids.watch(tab)
            yield tab

    async def simultaneous_clients(self, *args: Any, **options: Any) -> list[Client]:
        """Connect clients at the same time; see `Subject.simultaneous_clients`."""
        tabs = await self._subject.simultaneous_clients(*args, **options)
        for tab in tabs:
            self._ids.watch(tab)
        return tabs

    @asynccontextmanager
    async def another(self, **options: Any) -> "AsyncIterator[NumberedSubject]":
        """Start a further server; see `Subject.another`."""
        async with self._subject.another(**options) as other:
            yield NumberedSubject(other)


BEGIN = re.compile(r'(\{"type": ?"message", ?)"id": ?(\d+), ?')
Five = Callable[[Any], Any]
"""A check of step 05."""
TEXT = re.compile(r'(\{"type": ?"message", ?)("from")')


async def as_before(subject: Subject, *checks: Five) -> None:
    """Run checks of step 05, and check the ids of all messages.

    Raises:
        Failure: a check fails. Its texts show that messages have ids.
    """
    for each in checks:
        try:
            await each(NumberedSubject(subject))
        except Failure as failure:
            failure.got, failure.expect = (TEXT.sub(r'\1"id": ..., \2', text) for text in (failure.got, failure.expect))
            raise


class StepFive:
    @check(1, "keeps names, the list and the notices of step 05")
    async def test_presence(self, subject: Subject) -> None:
        presence = Presence()
        await as_before(subject, presence.test_names, presence.test_list, presence.test_notices)

    @check(1, "keeps the messages and errors of step 05, with ids")
    async def test_messages(self, subject: Subject) -> None:
        messages = Messages()
        # Make of this step promises texts of up to 256 KiB.
        messages.long = False
        await as_before(subject, messages.test_message, messages.test_bad, messages.test_last_message)

    @check(1, "keeps the direct messages of step 05")
    async def test_direct(self, subject: Subject) -> None:
        direct = Direct()
        await as_before(subject, direct.test_direct, direct.test_similar, direct.test_mixed_burst, direct.test_apart)

    @check(1, "keeps several tabs of a name, as in step 05")
    async def test_tabs(self, subject: Subject) -> None:
        tabs = Tabs()
        await as_before(subject, tabs.test_tabs, tabs.test_every_tab, tabs.test_tabs_together, tabs.test_two_rooms)

    @check(1, "keeps the list of a room and DELETE, as in step 05")
    async def test_removal(self, subject: Subject) -> None:
        await as_before(subject, Listing().test_members, Removal().test_remove, Removal().test_joins_again)

    @check(1, "finds rooms and members by their exact names, as in step 05")
    async def test_exact(self, subject: Subject) -> None:
        await as_before(subject, Listing().test_exact, Removal().test_exact_name)

    @check(1, "keeps what step 05 does while many members join or a tab pauses", hard=True)
    async def test_under_load(self, subject: Subject) -> None:
        messages, tabs = Messages(), Tabs()
        await as_before(subject, Presence().test_crowd, messages.test_vanished, messages.test_burst)
        await as_before(subject, messages.test_pause, messages.test_many_errors)
        await as_before(subject, tabs.test_tab_leaves, tabs.test_forty_tabs)

    @check(1, "keeps what DELETE of step 05 does while a tab doesn't read", hard=True)
    async def test_slow_removal(self, subject: Subject) -> None:
        removal = Removal()
        await as_before(subject, removal.test_stuck, removal.test_slow_member, removal.test_last_drops)
        await as_before(subject, removal.test_late_body, removal.test_forty_removed, removal.test_delete_and_more)

    @check(1, "counts sessions and rooms, and leaves nothing behind after 300 tabs, as in step 05", hard=True)
    async def test_counts(self, subject: Subject) -> None:
        counts = Counts()
        await as_before(subject, counts.test_sessions, counts.test_stuck_and_gone, counts.test_many)

    @check(1, "answers half an emoji and deep JSON as in step 05", hard=True)
    async def test_strange(self, subject: Subject) -> None:
        await as_before(subject, Messages().test_strange)
