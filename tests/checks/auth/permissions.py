"""Step 06, TODO 4: permissions in each room, and on the HTTP routes."""

from judge.auth import KEYED, AuthClient, bearer
from judge.clients import anything
from judge.messages import show
from judge.model import Failure, check
from judge.subject import Subject

from .tickets import USED_UP

ROOM = (
    "The route asks for a token, and not for the permission in its room. "
    "Let it depend on a function that looks room_id up in the user's permissions."
)
ITSELF = "DELETE removes another member. Compare the name in the path with the user of the token, and raise 403 first."
READS = "A member that may only read is refused. Reading is enough for the list, and for leaving."
NOT_KEPT = ("Not Found", "Method Not Allowed")


class Permissions:
    @check(4, "lets nobody into a room without a right in it")
    async def test_rooms(self, subject: Subject) -> None:
        auth = AuthClient(subject)
        permissions = {"Ada": ("lobby", "lab"), "Grace": ("lobby", "lab"), "Linus": ("lobby",)}
        for name, rooms in permissions.items():
            token = await auth.log_in(name)
            for room in rooms:
                async with auth.member(room, token=token), auth.member(room, ticket=await auth.create_ticket(token)):
                    pass
            for room in {"lab", "attic", "Lobby", "lobby%20"} - set(rooms):
                likely = f"{name} has no right there: HTTPException(403) before the socket is accepted"
                what = f"a good token of {name}"
                await auth.refuses(f"/ws/{room}", what, headers=bearer(token), statuses=(403,), likely=likely)
                ticket, what = await auth.create_ticket(token), f"a good ticket of {name}"
                likely = f"the same holds for tickets: {likely}"
                await auth.refuses(f"/ws/{room}?ticket={ticket}", what, statuses=(403,), likely=likely)
                likely = f"a ticket is used up when it is looked at, whatever comes of it: {USED_UP}"
                after = f"the same ticket was refused for the room {room}"
                await auth.refuses(f"/ws/lobby?ticket={ticket}", what, after=after, likely=likely)

    @check(4, "lets a reader hear everything and say nothing")
    async def test_reader(self, subject: Subject) -> None:
        auth = AuthClient(subject)
        ada, grace = await auth.log_in("Ada"), await auth.log_in("Grace")
        may_not = "Grace may only read in the lab: look at her right before you pass anything on, by ticket too"
        for how in ("a token", "a ticket"):
            came = {"token": grace} if how == "a token" else {"ticket": await auth.create_ticket(grace)}
            async with (
                auth.member("lab", token=ada) as writer,
                auth.member("lab", token=grace) as other,
                auth.member("lab", **came) as reader,
            ):
                await writer.says("hello")
                for member in (writer, other, reader):
                    member.did = f"a message of Ada in the lab, where Grace is a reader, with {how}"
                    await member.gets_message("Ada", "hello", likely="a reader hears what everybody hears")
                await writer.send({"type": "direct", "to": "Grace", "text": f"{auth.mark} psst"})
                for member in (other, reader):
                    member.did = f"a direct message of Ada to Grace, a reader with {how}"
                    await member.gets_message("Ada", "psst", kind="direct", likely="a reader hears what is sent to her")
                direct = {"type": "direct", "text": f"{auth.mark} no"}
                for frame in (
                    {"type": "message", "text": f"{auth.mark} no"},
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
                    await member.gets_message("Ada", "that is all", likely=may_not)
        async with auth.member("lobby", token=grace) as writer:
            await writer.says("hello")
            await writer.gets_message("Grace", "hello", likely="Grace may write in the lobby: a right is one in a room")

    @check(4, "answers on the HTTP routes of step 05 only to who has a token")
    async def test_routes(self, subject: Subject) -> None:
        auth = AuthClient(subject)
        linus = await auth.log_in("Linus")
        ticket = await auth.create_ticket(linus)
        routes = (
            ("GET", "/rooms/lobby/members"),
            ("GET", "/rooms/lab/members"),
            ("GET", "/rooms/attic/members"),
            ("GET", "/debug/sessions"),
            ("DELETE", "/rooms/lobby/members/Linus"),
            ("DELETE", "/rooms/attic/members/Linus"),
        )
        likely = "every route of members.py needs a token: APIRouter(dependencies=[Depends(...)])"
        async with auth.member("lobby", token=linus):
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
                        # Send a valid token: a route that wasn't kept is missing for every client.
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

    @check(4, "asks on the HTTP routes of a room for a permission in it, and lets members remove only themselves")
    async def test_room_routes(self, subject: Subject) -> None:
        # Use another server, because members are removed.
        auth = AuthClient(await subject.under(**KEYED | {"TICKET_SECONDS": "31"}))
        ada, grace, linus = [await auth.log_in(name) for name in ("Ada", "Grace", "Linus")]
        lab, lobby = "/rooms/lab/members", "/rooms/lobby/members"
        async with (
            auth.member("lab", token=ada) as one,
            auth.member("lobby", token=ada) as two,
            auth.member("lab", token=grace) as reader,
        ):
            for method, path, who, token, status, likely in (
                ("GET", lab, "Linus, who has no permission there", linus, 403, ROOM),
                ("GET", "/rooms/attic/members", "Ada, who has no permission there", ada, 403, ROOM),
                ("GET", lab, "Grace, who may read there", grace, 200, READS),
                ("DELETE", f"{lab}/Ada", "Linus, who has no permission there", linus, 403, ROOM),
                ("DELETE", f"{lab}/Linus", "Linus, who has no permission there", linus, 403, ROOM),
                ("DELETE", f"{lobby}/Ada", "Linus, who may write there", linus, 403, ITSELF),
                ("DELETE", f"{lab}/Ada", "Grace, who may read there", grace, 403, ITSELF),
                ("DELETE", f"{lab}/Grace", "Grace, who may read there", grace, 204, READS),
            ):
                response = await auth.subject.request(method, path, headers=bearer(token), likely=likely)
                if response.status_code in (404, 405) and response.json()["detail"] in NOT_KEPT:
                    continue  # A route that wasn't kept.
                if response.status_code != status:
                    raise Failure(
                        sent=f"{method} {path} with a valid token of {who}",
                        got=f"status {response.status_code}, {show(response.text)}",
                        expect=f"status {status}",
                        likely=likely,
                        broken=response.status_code == 500,
                    )
                if status == 204:
                    reader.did = f"DELETE {path} with her own token"
                    await reader.is_closed(1008, likely=READS, besides=anything)
            for member, room in ((one, "lab"), (two, "lobby")):
                what = f"a message in the {room}, after DELETE of Ada by others was answered with 403"
                await member.is_open("Ada", what, likely=ITSELF)
