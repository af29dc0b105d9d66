"""Step 06, TODO 4: permissions in each room, and on the HTTP routes."""

from judge.holders import Door, bearer
from judge.messages import show
from judge.model import Failure, check
from judge.subject import Subject

from .tickets import USED_UP


class Permissions:
    @check(4, "lets nobody into a room without a right in it")
    async def test_rooms(self, subject: Subject) -> None:
        door = Door(subject)
        rights = {"Ada": ("lobby", "lab"), "Grace": ("lobby", "lab"), "Linus": ("lobby",)}
        for name, rooms in rights.items():
            token = await door.log_in(name)
            for room in rooms:
                async with door.member(room, token=token), door.member(room, ticket=await door.buy(token)):
                    pass
            for room in {"lab", "attic", "Lobby", "lobby%20"} - set(rooms):
                likely = f"{name} has no right there: HTTPException(403) before the socket is accepted"
                what = f"a good token of {name}"
                await door.refuses(f"/ws/{room}", what, headers=bearer(token), statuses=(403,), likely=likely)
                ticket, what = await door.buy(token), f"a good ticket of {name}"
                likely = f"the same holds for tickets: {likely}"
                await door.refuses(f"/ws/{room}?ticket={ticket}", what, statuses=(403,), likely=likely)
                likely = f"a ticket is used up when it is looked at, whatever comes of it: {USED_UP}"
                after = f"the same ticket was refused for the room {room}"
                await door.refuses(f"/ws/lobby?ticket={ticket}", what, after=after, likely=likely)

    @check(4, "lets a reader hear everything and say nothing")
    async def test_reader(self, subject: Subject) -> None:
        door = Door(subject)
        ada, grace = await door.log_in("Ada"), await door.log_in("Grace")
        may_not = "Grace may only read in the lab: look at her right before you pass anything on, by ticket too"
        for how in ("a token", "a ticket"):
            came = {"token": grace} if how == "a token" else {"ticket": await door.buy(grace)}
            async with (
                door.member("lab", token=ada) as writer,
                door.member("lab", token=grace) as other,
                door.member("lab", **came) as reader,
            ):
                await writer.says("hello")
                for member in (writer, other, reader):
                    member.did = f"a message of Ada in the lab, where Grace is a reader, with {how}"
                    await member.hears("Ada", "hello", likely="a reader hears what everybody hears")
                await writer.send({"type": "direct", "to": "Grace", "text": f"{door.mark} psst"})
                for member in (other, reader):
                    member.did = f"a direct message of Ada to Grace, a reader with {how}"
                    await member.hears("Ada", "psst", kind="direct", likely="a reader hears what is sent to her")
                direct = {"type": "direct", "text": f"{door.mark} no"}
                for frame in (
                    {"type": "message", "text": f"{door.mark} no"},
                    direct | {"to": "Ada"},
                    direct | {"to": "Grace"},
                    "no JSON",
                    b"\x00",
                ):
                    await reader.send(frame)
                    await reader.gets_error(likely=may_not)
                await writer.says("that is all")
                for member in (writer, other, reader):
                    member.did = f"a message of Ada, after messages of Grace, a reader with {how}"
                    await member.hears("Ada", "that is all", likely=may_not)
        async with door.member("lobby", token=grace) as writer:
            await writer.says("hello")
            await writer.hears("Grace", "hello", likely="Grace may write in the lobby: a right is one in a room")

    @check(4, "answers on the HTTP routes of step 05 only to who has a token")
    async def test_routes(self, subject: Subject) -> None:
        door = Door(subject)
        linus = await door.log_in("Linus")
        ticket = await door.buy(linus)
        routes = (
            ("GET", "/rooms/lobby/members"),
            ("GET", "/rooms/lab/members"),
            ("GET", "/rooms/attic/members"),
            ("GET", "/debug/sessions"),
            ("DELETE", "/rooms/lobby/members/Linus"),
            ("DELETE", "/rooms/attic/members/Linus"),
        )
        likely = "every route of members.py needs a token: APIRouter(dependencies=[Depends(...)])"
        async with door.member("lobby", token=linus):
            for what, query, headers in (
                ("no token", "", None),
                ("a token that was made up", "", bearer("x.y.z")),
                ("a ticket as its token", "", bearer(ticket)),
                ("a ticket as ?ticket=", f"?ticket={ticket}", None),
            ):
                for method, path in routes:
                    response = await subject.request(method, path + query, headers=headers, likely=likely)
                    status = response.status_code
                    if status in (404, 405):
                        # A route that was not kept is not there for anybody.
                        known = await subject.request(method, path, headers=bearer(linus), likely=likely)
                        there = known.status_code not in (404, 405) or "detail" not in known.text
                        if not there and known.json()["detail"] in ("Not Found", "Method Not Allowed"):
                            continue
                    if status not in (401, 403):
                        raise Failure(
                            sent=f"{method} {path} with {what}",
                            got=f"status {status}, {show(response.text)}",
                            expect="status 401 or 403",
                            likely=likely,
                            broken=status == 500,
                        )
