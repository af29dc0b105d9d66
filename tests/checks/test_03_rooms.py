"""Step 03: the checks of the exercise."""

from judge import rooms
from judge.model import check
from judge.subject import Subject


class TestExercise:
    leaving = 3

    @check(1, "passes a text on to its room and to no other")
    async def test_broadcast(self, subject: Subject) -> None:
        await rooms.reaches_the_room(rooms.Rooms(subject))

    @check(1, "keeps rooms with similar names apart")
    async def test_similar_rooms(self, subject: Subject) -> None:
        await rooms.keeps_rooms_apart(rooms.Rooms(subject))

    @check(1, "delivers a burst of texts, and a sender's last one")
    async def test_burst(self, subject: Subject) -> None:
        await rooms.delivers_a_burst(rooms.Rooms(subject))

    @check(2, "counts the members of each room")
    async def test_counts(self, subject: Subject) -> None:
        await rooms.counts_members(rooms.Rooms(subject))
        await rooms.counts_rooms_apart(rooms.Rooms(subject))

    @check(3, "loses no message to a member that disconnects")
    async def test_vanished(self, subject: Subject) -> None:
        await rooms.survives_disconnects(rooms.Rooms(subject))

    @check(4, "closes the sender of a binary message, and no other member, with 1003")
    async def test_binary(self, subject: Subject) -> None:
        await rooms.refuses_binary(rooms.Rooms(subject))

    @check(5, "skips no member when another one leaves during a broadcast", pauses=True)
    async def test_skip(self, subject: Subject) -> None:
        await rooms.skips_no_member(rooms.Rooms(subject))

    @check(5, "delivers the text of a sender that leaves during its broadcast")
    async def test_sender_leaves(self, subject: Subject) -> None:
        await rooms.sender_may_leave(rooms.Rooms(subject))

    @check(6, "removes a member however its connection ended")
    async def test_gone(self, subject: Subject) -> None:
        await rooms.forgets_the_disconnected(rooms.Rooms(subject))

    @check(2, "counts sixty rooms, and fifty members in one room", hard=True)
    async def test_many(self, subject: Subject) -> None:
        await rooms.keeps_fifty_rooms(rooms.Rooms(subject))
