"""TODO 5: the names of a room over HTTP."""

from judge import pool
from judge.members import Members
from judge.messages import show
from judge.model import Failure, check
from judge.sessions import ENDS, Room, sources
from judge.subject import Subject

NO_ROOM = "A room without members isn't answered with 404. Raise HTTPException(404) if it has no names."
ASKED = "The request for the names of a room creates it. Read it with get(), not from a defaultdict."
EXACT = "The names aren't those of the room's members: each exactly as it is, once, sorted as sorted() does."


class Listing:
    """The names of a room over HTTP."""

    @check(5, "responds with the names in a room, and with 404 for a room without members")
    async def test_members(self, subject: Subject) -> None:
        members = Members(subject)
        ghost = members.room("ghost")
        await self._is_not_there(subject, ghost, NO_ROOM)
        await self._is_not_there(subject, ghost, ASKED)
        async with Room(subject) as room, Room(subject) as lab:
            for name in ("Grace", "Ada", "Ada", "linus", "Zoe", "éva", "9", "10"):
                await room.enter(name)
            await lab.enter("Barbara")
            await room.are(after="eight tabs of seven members joined", likely=EXACT)
            for tab, end in zip(list(room.tabs), (*ENDS, "leave"), strict=False):
                await room.leave(tab, end)
                likely = "A name is still listed after its last tab has ended, or it's removed too early."
                await room.are(after="a tab ended and the others got left", likely=likely)
            for tab in list(room.tabs):
                await room.leave(tab)
            kept = "A room is kept when its last member has left. Remove it together with its last name."
            await members.eventually_empty(room.name, after="the last member left", likely=kept)
            await room.enter("Linus")
            await room.are(after="the room had been empty, and Linus joined", likely="Old names are still listed.")
            await lab.are(after="members joined and left another room", likely="Rooms are mixed.")

    @check(5, "finds a room by its exact name")
    async def test_exact(self, subject: Subject) -> None:
        for kind, drawn in pool.rooms().items():
            # Add a suffix that no other check's rooms have.
            name = f"{drawn}-X"
            async with Room(subject, name) as room:
                await room.enter("Ada")
                changed = f"A room of this kind isn't found under its exact name: {kind}."
                await room.are(after=f"Ada joined the room {show(name)}", likely=changed)
                for similar in pool.neighbors(name)[:1] if kind in ("plain", "upper case", "white space") else ():
                    likely = f"The rooms {show(similar)} and {show(name)} are taken for one. Use exact names."
                    await self._is_not_there(subject, similar, likely)

    @staticmethod
    async def _is_not_there(subject: Subject, room: str, likely: str) -> None:
        path = Members.list_path(room)
        response = await subject.get(path, likely=likely)
        if response.status_code != 404:
            if likely is NO_ROOM and any("defaultdict" in text for text in sources(subject)):
                likely = ASKED
            got = f"status {response.status_code}, {show(response.text)}"
            raise Failure(sent=f"GET {path}", got=got, expect="status 404", likely=likely)
