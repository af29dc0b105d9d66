"""Step 06, TODO 4: permissions in each room, and on the HTTP routes."""

from contextlib import AsyncExitStack
from urllib.parse import quote

import httpx
from judge import pool
from judge.auth import KEY, KEYED, WAITS, WEST, AuthClient, bearer, elsewhere, forged
from judge.clients import Client, anything
from judge.members import joined, left, said
from judge.messages import show
from judge.model import Failure, Likely, check
from judge.subject import Subject

from .tickets import USED_UP

NO_PERMISSION = (
    "Your code accepts a user without a permission in this room. If room_id, as it is in the path, isn't in "
    "principal.user.permissions, raise HTTPException(403) before accept()."
)
SIMILAR = (
    "Your code changes the room's name before it looks it up, or compares a part of it: a room without any permission "
    "was refused. Look room_id up in principal.user.permissions as it is."
)
BY_TICKET = (
    "Your code asks for the permission only where it decodes the token. "
    "Do that at the end of authenticate_socket, where token and ticket come together."
)
ROOM = (
    "The route asks for a token, but not for the permission in its room. "
    "Let it depend on a function that looks room_id up in the user's permissions."
)
ITSELF = (
    "DELETE removes another member. Compare the name in the path with the user of the token, and raise 403 before "
    "anything else if they differ."
)
READS = (
    "A member with the permission read is refused. That permission is enough for the list, and for removing oneself: "
    'compare with "write" in the message loop only.'
)
OPEN = (
    "The route doesn't require a token. Add it to the router, so that all routes have it: "
    "APIRouter(dependencies=[Depends(get_current_principal)])."
)
INVALID = (
    "The route accepts an invalid token, so it decodes it in another way than a handshake does. "
    "Let it depend on get_current_principal."
)
HEADER_ONLY = (
    "The route also accepts a token from another place than Authorization: Bearer, which a page of another site can "
    "make a browser send, or which is logged. Read it from that header only."
)
RECEIVES = (
    'A member with the permission "read" misses a message. Join it like any other member: '
    "the permission only matters for what it sends."
)
LEFT_OUT = (
    'A member with the permission "read" gets no joined notice, so your code leaves it out of the recipients. Send to '
    "manager.all_tabs(room_id, exclude=name), whatever the permissions: they only matter for what a member sends."
)
MAY_NOT = Likely(
    "A message of a member that may only read isn't answered with an error. If another member received it, your code "
    "asks for the permission for one kind of message only: ask before you parse it, and send the error to the sender.",
    wrong="Your code handles a message of a member that may only read. If "
    'principal.user.permissions[room_id] isn\'t "write", send an error and continue, before you parse the message.',
    closed="The connection ends after a message that isn't allowed. Answer with an error, and go on with the loop.",
)
NOWHERE = Likely(
    RECEIVES,
    wrong="A message of a member that may only read was sent to this member, or its error was. "
    "Send the error to the sender's own connection, and nothing to other members.",
)
WRITES = (
    "A user with the permission write in this room can't send here. "
    "Look up the permission of this room: principal.user.permissions[room_id]."
)
NOT_KEPT = ("Not Found", "Method Not Allowed")
NOTICES = "The notice doesn't fit. Keep join() and leave() of step 05: a name joins with its first tab."


class Permissions:
    @check(4, "refuses a room without permission with 403, with a token and with a ticket")
    async def test_rooms(self, subject: Subject) -> None:
        auth = AuthClient(subject)
        permissions = {"Ada": ("lobby", "lab"), "Grace": ("lobby", "lab"), "Linus": ("lobby",)}
        similar = {quote(each, safe="") for room in ("lobby", "lab") for each in pool.neighbors(room)}
        similar |= {"lobby%2Cattic", "lobby%00", "lob", "%EF%BD%8Cobby"}
        for name, rooms in permissions.items():
            token = await auth.log_in(name)
            for room in rooms:
                likely = f"Your code refuses {name} in a room where the user has a permission. {WRITES}"
                async with (
                    auth.member(room, token=token, likely=likely),
                    auth.member(room, ticket=await auth.create_ticket(token), likely=likely),
                ):
                    pass
            for room in (each for each in ("attic", "lab", "Lobby", "lobby%20") if each not in rooms):
                what = f"a valid token of {name}"
                headers = bearer(token)
                likely = NO_PERMISSION if room in ("attic", "lab") else SIMILAR
                await auth.refuses(f"/ws/{room}", what, headers=headers, statuses=(403,), likely=likely)
                if name != "Ada" and likely == SIMILAR:
                    continue  # Ada's tickets show whether names are compared as they are.
                ticket, what = await auth.create_ticket(token), f"a valid ticket of {name}"
                after = f"a valid token of {name} was refused with 403 for this room"
                await auth.refuses(f"/ws/{room}?ticket={ticket}", what, statuses=(403,), after=after, likely=BY_TICKET)
                after = f"the same ticket was refused for the room {room}"
                await auth.refuses(f"/ws/lobby?ticket={ticket}", what, after=after, likely=USED_UP)
        token = await auth.log_in("Ada")
        for room in sorted(similar):
            what = "a valid token of Ada, who may write in lobby and lab"
            await auth.refuses(f"/ws/{room}", what, headers=bearer(token), statuses=(403,), likely=SIMILAR)

    @check(4, "sends everything to a user who may only read, and answers each of the user's messages with an error")
    async def test_reader(self, subject: Subject) -> None:
        auth = AuthClient(subject)
        ada, grace = await auth.log_in("Ada"), await auth.log_in("Grace")
        for how in ("a token", "a ticket"):
            credentials = {"token": grace} if how == "a token" else {"ticket": await auth.create_ticket(grace)}
            async with (
                auth.member("lab", token=ada) as writer,
                auth.member("lab", token=grace) as other,
                auth.member("lab", **credentials) as reader,
            ):
                await writer.says("hello")
                for member in (writer, other, reader):
                    member.did = f"a message of Ada in the lab, where Grace may only read, with {how}"
                    await member.gets_message("Ada", "hello", likely=RECEIVES)
                await writer.send({"type": "direct", "to": "Grace", "text": f"{auth.mark} psst"})
                for member in (other, reader):
                    member.did = f"a direct message of Ada to Grace, who may only read, with {how}"
                    await member.gets_message("Ada", "psst", kind="direct", likely=RECEIVES)
                no = f"{auth.mark} no, with {how}"
                direct = {"type": "direct", "text": no}
                frames = (
                    {"type": "message", "text": no},
                    direct | {"to": "Ada"},
                    direct | {"to": "Grace"},
                    direct | {"to": "Nobody"},
                    "hello, which isn't JSON",
                    b"\x00",
                )
                for frame in frames:
                    await reader.send(frame)
                    await reader.gets_error(likely=MAY_NOT)
                await reader.send_burst(*4 * frames)
                for number in range(4 * len(frames)):
                    reader.after = f"{number} of {4 * len(frames)} messages in one packet were answered"
                    await reader.gets_error(likely=MAY_NOT)
                reader.after = None
                await writer.says("that is all")
                for member in (writer, other, reader):
                    member.did = f"a message of Ada, after messages of Grace, who may only read, with {how}"
                    await member.gets_message("Ada", "that is all", likely=NOWHERE)
        async with auth.member("lab", token=grace) as reader, auth.member("lobby", token=grace) as writer:
            await writer.says("hello")
            writer.did = "a message of Grace in the lobby, where she may write, with another connection in the lab"
            await writer.gets_message("Grace", "hello", likely=WRITES)
            await reader.send({"type": "message", "text": f"{auth.mark} not here"})
            reader.did = "a message of Grace in the lab, where she may only read, after one in the lobby"
            await reader.gets_error(likely=MAY_NOT)

    @check(4, "refuses requests to the HTTP routes of step 05 without a valid token")
    async def test_routes(self, subject: Subject) -> None:
        auth = AuthClient(await subject.under(**REMOVING))
        linus = await auth.token_of("Linus", await subject.under(**KEYED))
        ticket = await auth.create_ticket(linus)
        routes = [
            ("GET", "/rooms/lobby/members"),
            ("GET", "/rooms/lab/members"),
            ("GET", "/rooms/attic/members"),
            ("GET", "/debug/sessions"),
            ("DELETE", "/rooms/attic/members/Linus"),
        ]
        async with auth.member("lobby", token=linus) as member:
            routes = [route for route in (*routes, ("DELETE", OWN)) if await _is_kept(auth, *route, linus)]
            cases = [
                ("no token", "", {}, OPEN),
                ("a token that was made up", "", bearer("x.y.z"), INVALID),
                ("a token that has expired", "", bearer(forged(linus, KEY, {"exp": 1})), INVALID),
                ('a token with "aud": "mail"', "", bearer(forged(linus, KEY, {"aud": "mail"})), INVALID),
                ("the scheme Basic and a valid token", "", {"Authorization": f"Basic {linus}"}, INVALID),
                ("a ticket as its token", "", bearer(ticket), INVALID),
                ("a ticket as ?ticket=", f"?ticket={ticket}", {}, HEADER_ONLY),
            ]
            cases += [
                (f"a valid token {place}", query, headers, HEADER_ONLY)
                for place, (query, headers) in elsewhere(linus).items()
                if "Protocol" not in place
            ]
            for what, query, headers, likely in cases:
                # Two routes show what the dependency accepts; each route shows whether it has the dependency.
                for method, path in routes if likely == OPEN or "made up" in what else (routes[0], routes[-1]):
                    response = await auth.subject.request(
                        method, path + query, headers=headers, kept=True, likely=WAITS
                    )
                    if response.status_code not in (401, 403):
                        raise Failure(
                            sent=f"{method} {path} with {what}",
                            got=f"status {response.status_code}, {show(response.text)}",
                            expect="status 401 or 403",
                            likely=likely,
                            broken=response.status_code == 500,
                        )
            what = "a message of Linus, after DELETE without a valid token was refused"
            await member.is_open("Linus", what, likely=ITSELF)

    @check(4, "asks on the HTTP routes of a room for a permission in it, and lets members remove only themselves")
    async def test_room_routes(self, subject: Subject) -> None:
        auth = AuthClient(await subject.under(**REMOVING))
        keyed = await subject.under(**KEYED)
        ada, grace, linus = [await auth.token_of(name, keyed) for name in ("Ada", "Grace", "Linus")]
        async with AsyncExitStack() as stack:

            async def enter(room: str, name: str, token: str) -> Client:
                opened = auth.subject.client(f"/ws/{room}", headers=bearer(token), who=name)
                return await stack.enter_async_context(opened)

            reader = await enter("lab", "Grace", grace)
            await reader.gets({"type": "members", "names": ["Grace"]}, likely=RECEIVES)
            one = await enter("lab", "Ada", ada)
            await one.gets({"type": "members", "names": ["Ada", "Grace"]}, likely=NOTICES)
            reader.did = "a handshake of Ada, after Grace, who may only read"
            await reader.gets(joined("Ada"), likely=LEFT_OUT)
            # Only now, because a failure shows what the other connections received.
            two = await enter("lobby", "Ada", ada)
            texts = pool.texts(long=False).values()
            await one.send_burst(*({"type": "message", "text": text} for text in texts))
            reader.did = one.did
            for text in texts:
                await reader.gets(said("Ada", text), likely=RECEIVES)
                await one.gets(said("Ada", text), likely=NOTICES)
            lab, lobby = "/rooms/lab/members", "/rooms/lobby/members"
            for method, path, who, token, status, likely in (
                ("GET", lab, "Linus, who has no permission there", linus, 403, ROOM),
                ("GET", "/rooms/attic/members", "Ada, who has no permission there", ada, 403, ROOM),
                ("GET", "/rooms/Lobby/members", "Ada, who has no permission there", ada, 403, ROOM),
                ("GET", lab, "Grace, who may read there", grace, 200, READS),
                ("GET", "/debug/sessions", "Grace", grace, 200, READS),
                ("DELETE", f"{lab}/Ada", "Linus, who has no permission there", linus, 403, ROOM),
                ("DELETE", f"{lab}/Linus", "Linus, who has no permission there", linus, 403, ROOM),
                ("DELETE", f"{lobby}/Ada", "Linus, who may write there", linus, 403, ITSELF),
                ("DELETE", f"{lab}/Ada", "Grace, who may read there", grace, 403, ITSELF),
                ("DELETE", f"{lab}/Grace", "Ada, who may write there", ada, 403, ITSELF),
                ("DELETE", f"{lab}/Nobody", "Ada, who may write there", ada, 403, ITSELF),
                ("DELETE", f"{lab}/ada", "Ada, with her name in lower case", ada, 403, SPELLED),
                ("DELETE", f"{lab}/%20Ada%20", "Ada, with blanks around her name", ada, 403, SPELLED),
                ("DELETE", f"{lab}/Grace", "Grace, who may read there", grace, 204, READS),
                ("DELETE", f"{lobby}/Ada", "Ada, who may write there", ada, 204, f"{SPELLED} {READS}"),
            ):
                response = await auth.subject.request(method, path, headers=bearer(token), kept=True, likely=WAITS)
                if is_missing(response):
                    continue  # A route that wasn't kept.
                if response.status_code != status:
                    if response.status_code == 404 and path.endswith(("attic/members", "Nobody")):
                        likely = LOOKS_FIRST
                    raise Failure(
                        sent=f"{method} {path} with a valid token of {who}",
                        got=f"status {response.status_code}, {show(response.text)}",
                        expect=f"status {status}",
                        likely=likely,
                        broken=response.status_code == 500,
                    )
                if status == 204:
                    member = reader if path.startswith(lab) else two
                    member.did = f"DELETE {path} with the member's own token"
                    await member.is_closed(1008, likely=REMOVES, besides=anything)
                    if member is reader:
                        one.did = member.did
                        await one.gets(left("Grace"), likely=NOTICES)
            await one.send({"type": "message", "text": "hello"})
            one.did = "a message in the lab, after others had sent DELETE for Ada there, which got 403"
            await one.gets(said("Ada", "hello"), likely=ITSELF)


REMOVING = WEST | {"TICKET_SECONDS": "31"}
"""Settings of another server, because members are removed."""
OWN = "/rooms/lobby/members/Linus"
SPELLED = "DELETE changes the name before it compares it with the user's. Compare it as it is in the path."
LOOKS_FIRST = (
    "Your code looks up the room or the member before the permission, so its 404 reveals who is there. "
    "Raise 403 first: in the dependency of the route, and before you look at manager.tabs()."
)
REMOVES = (
    "DELETE answers 204, and the member's connection stays open. "
    "Keep the route of step 05: remove the member, and close its tabs with 1008."
)


def is_missing(response: httpx.Response) -> bool:
    """Return whether no route answered: this route of step 05 wasn't kept."""
    return response.status_code in (404, 405) and any(f'"detail":"{text}"' in response.text for text in NOT_KEPT)


async def _is_kept(auth: AuthClient, method: str, path: str, token: str) -> bool:
    """Return whether a route answers this request. It isn't sent for the member's own name, because it removes it."""
    asked = path.replace(OWN, f"{OWN}2")
    return not is_missing(await auth.subject.request(method, asked, headers=bearer(token), likely=WAITS))
