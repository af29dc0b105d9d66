"""Step 03: the checks of the exercise."""

from judge import rooms
from judge.model import check
from judge.subject import Subject


class TestExercise:
    @check(1, "passes a text on to its room and to nobody else")
    async def test_broadcast(self, subject: Subject) -> None:
        await rooms.reaches_the_room(rooms.Rooms(subject))

    @check(2, "counts the members of each room")
    async def test_counts(self, subject: Subject) -> None:
        await rooms.counts_members(rooms.Rooms(subject))

    @check(3, "loses no message to a member that vanishes")
    async def test_vanished(self, subject: Subject) -> None:
        await rooms.survives_the_vanished(rooms.Rooms(subject))

    @check(4, "closes the sender of a binary frame, and nobody else, with 1003")
    async def test_binary(self, subject: Subject) -> None:
        await rooms.refuses_binary(rooms.Rooms(subject))

    @check(5, "skips nobody when a member leaves in mid-broadcast")
    async def test_skip(self, subject: Subject) -> None:
        await rooms.skips_nobody(rooms.Rooms(subject))
        await rooms.sender_may_leave(rooms.Rooms(subject))

    @check(6, "forgets a member however its connection ended")
    async def test_gone(self, subject: Subject) -> None:
        await rooms.forgets_the_gone(rooms.Rooms(subject))
