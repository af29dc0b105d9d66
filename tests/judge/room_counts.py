"""The rooms of an answer: connections of members to them, and checks of their counts."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, suppress
from urllib.parse import quote

from . import pool
from .clients import Client
from .flood import Flood
from .messages import show
from .model import Failure
from .subject import Subject

PAUSE = 1.05
"""Seconds for which a member reads nothing: slightly more than the second that Make states."""


class Rooms:
    """The rooms of an answer.

    Args:
        subject: the running answer.
        socket: the path of a room's connections, with `{room}` in it.
        counts: the path that returns the number of members of each room.
    """

    def __init__(self, subject: Subject, socket: str = "/ws/{room}", counts: str = "/rooms") -> None:
        self.subject = subject
        self.socket = socket
        self.counts = counts

    @staticmethod
    def name(kind: str = "lobby") -> str:
        """Return a room that no other check uses, so that checks can run side by side."""
        return pool.unique(kind)

    def path(self, room: str) -> str:
        """Return the path of a room's connections."""
        return self.socket.format(room=quote(room, safe=""))

    def member(
        self, room: str, who: str | None = None, *, small_buffers: bool = False
    ) -> AbstractAsyncContextManager[Client]:
        """Connect a new member of the room.

        Args:
            room: its name.
            who: the member's name in failures.
            small_buffers: see `handshakes.handshake`.
        """
        return self.subject.client(self.path(room), who=who, small_buffers=small_buffers)

    async def has(self, expected: dict[str, int | None], *, after: str, likely: str) -> None:
        """Check that the counts have these rooms with these members now; None means no entry.

        Raises:
            Failure: they don't.
        """
        counts = await self.subject.get_json(self.counts, likely=likely)
        if isinstance(counts, dict) and (more := [str(key) for key in counts if not pool.is_unique(str(key))]):
            raise Failure(
                sent=f"GET {self.counts}",
                got=f"the key {show(more[0])}",
                expect="a key for each room, and no other",
                likely=f"Your code adds the key {more[0]}. Return the rooms alone.",
            )
        if not self._match(counts, expected):
            raise Failure(
                after=f"{after}, GET {self.counts}",
                got=show(self._relevant(counts, expected)) if self._relevant(counts, expected) else "no such entry",
                expect=_wanted(expected, counts),
                likely=_miscounted(counts, expected) or likely,
            )

    async def eventually_has(self, expected: dict[str, int | None], *, after: str, likely: str) -> None:
        """Wait until the counts have these rooms, at most for the patience. They must never list an empty room.

        Raises:
            Failure: they don't in time, or they list an empty room.
        """
        empty: dict[str, object] = {}

        def holds(counts: object) -> bool:
            if isinstance(counts, dict):
                empty.update({room: counts[room] for room in expected if counts.get(room, 1) in (0, None)})
            return self._match(counts, expected)

        try:
            await self.subject.eventually(
                self.counts,
                holds,
                after=after,
                expect=_wanted(expected),
                likely=lambda counts: _miscounted(counts, expected, TWICE) or likely,
                shown=lambda counts: self._relevant(counts, expected),
                promised=PAUSE,
            )
        except Failure as failure:
            # Find out whether the counts are only late.
            with suppress(Failure):
                await self.subject.eventually(self.counts, holds, after=after, expect="", likely="")
                failure.likely = LATE
            raise
        # The counts are right now, but they listed an empty room before.
        if empty:
            raise Failure(
                after=f"{after}, GET {self.counts}",
                got=show(empty),
                expect=_wanted(expected),
                likely="An empty room is still listed for a moment. Remove the room in the same place, without an "
                "await or a timer, where its last member is removed.",
            )

    @staticmethod
    def _match(counts: object, expected: dict[str, int | None]) -> bool:
        return isinstance(counts, dict) and all(
            counts.get(room) == members
            and not isinstance(counts.get(room), bool)
            and (members is None) == (room not in counts)
            for room, members in expected.items()
        )

    @staticmethod
    def _relevant(counts: object, expected: dict[str, int | None]) -> object:
        """Return the wrong counts of these rooms, and the counts of others with similar names."""
        if not isinstance(counts, dict):
            return counts
        plain = {_plain(room) for room in expected}
        return {
            room: count
            for room, count in counts.items()
            if (room in expected and count != expected[room]) or (room not in expected and _plain(str(room)) in plain)
        }

    async def flood(self, sender: Client, readers: dict[str, Client], *, more: Sequence[str] = ()) -> Flood:
        """Let `sender` send more than the buffers of a member that doesn't read hold, until nothing moves.

        Args:
            sender: a member.
            readers: the members that read, by their names in failures.
            more: further texts that must arrive, sent by another member later.
        """
        flood = Flood(sender, readers, more)
        await self.subject.stands_still(flood.progress)
        return flood


def _plain(room: str) -> str:
    return room.strip().casefold()


LATE = (
    "The counts are right only later: a timer, a sleep or a task removes the member. Remove it immediately, in finally."
)
IDENTITY = (
    "Members are missing. Two members differ even if they have the same address, cookie or name, so keep the "
    "connections themselves."
)
TWICE = "Too many members are missing: one is removed, or counted out, twice. Remove only the disconnected connection."


def _miscounted(counts: object, expected: dict[str, int | None], fewer: str = IDENTITY) -> str | None:
    """Explain wrong counts, or return None.

    Args:
        counts: the answer's counts.
        expected: the right counts.
        fewer: the mistake, if a room has fewer members than expected.
    """
    if not isinstance(counts, dict):
        return "The answer isn't an object. Return a dict with the number of members for each room."
    for room, members in expected.items():
        got = counts.get(room)
        if room not in counts and members:
            if similar := [other for other in counts if other not in expected and _plain(str(other)) == _plain(room)]:
                return f'The room is listed as "{similar[0]}". Use the name of the room as it is, without a change.'
            missing = [name for name, members in expected.items() if members and name not in counts]
            if len(missing) > 1:
                return f"{len(missing)} of {len(expected)} rooms are missing. List every room that has a member."
            if got_list := [value for value in counts.values() if not isinstance(value, (int, float))]:
                return f"A value is {show(got_list[0])}. Return the number of members: len(members)."
            return None
        if members is None or room not in counts or got == members:
            continue
        if isinstance(got, bool) or not isinstance(got, int):
            return f"The value is {show(got)}. Return the number of members: len(members)."
        if got > members:
            return "A member that has disconnected is still counted. Remove it in finally."
        return fewer
    return None


def _wanted(expected: dict[str, int | None], counts: object = None) -> str:
    """Return the expected counts as a failure shows them: only wrong rooms, and at most three of these."""
    wrong = {
        room: members
        for room, members in expected.items()
        if not isinstance(counts, dict) or counts.get(room) != members or (members is None and room in counts)
    }
    parts = [f'"{room}": {members}' if members else f'no entry for "{room}"' for room, members in wrong.items()]
    return ", ".join(parts[:3]) + (f", and {len(parts) - 3} more" if len(parts) > 3 else "")
