"""Step 06, TODO 7: a logout ends the user's connections, tokens and tickets."""

import asyncio
import contextlib
import time

from judge.auth import KEY, KEYED, WAITS, WEST, AuthClient, Member, bearer, claims_of, forged
from judge.clients import ClientConnection, anything
from judge.handshakes import connected, handshake
from judge.messages import show
from judge.model import Failure, check
from judge.subject import Subject
from judge.tasks import spawn, stop
from websockets import ConnectionClosed

from .expiry import flooding, until_stuck
from .permissions import is_missing

LOGGED_OUT = (
    "The logout notes nothing that this token is compared with. Put time.time() with its fraction into iat, note "
    "_logged_out[user.name] = time.time(), and compare both in decode()."
)
WHOLE_SECONDS = (
    "If your code notes whole seconds, a token and a logout of the same second look the same. "
    "Put time.time() with its fraction into iat, and note the logout the same way."
)
SAME_SECOND = (
    "Your code compares the token and the logout in whole seconds, so a token of the same second stays valid. "
    "Put time.time() with its fraction into iat, note time.time() at the logout, and require iat > that time."
)
SECOND = (
    "The first logout revokes tokens, and the second one of the same user doesn't: your code keeps what the first one "
    "noted. Note the time again at each logout: _logged_out[user.name] = time.time()."
)
COME_BACK = (
    "The old token was refused after the logout, and is valid again after the new login: a login removes what the "
    "logout has noted. Keep it, and compare it with the time of issue in each token."
)
ONLY_OLDER = (
    "The logout was sent with an older token of the user, and this one is still valid: your code notes when that token "
    "was issued, or that token only. Note the current time for the user."
)
ONLY_NEWER = (
    "The logout was sent with a newer token of the user, and this older one is still valid: your code revokes only the "
    "token that was sent. Note the time of the logout for the user, and compare it with each token's time of issue."
)
ON_HTTP = (
    "The logout is compared for handshakes only. Do that in decode(), which handshakes and HTTP routes share, or call "
    "the same check in get_current_principal."
)
SOCKETS = (
    "The logout ends no connection of the user. Keep a set per user, add each connection's timeout, and reschedule "
    "each to now. In finally, remove only this connection's timeout."
)
ONE_SOCKET = (
    "The logout ends only one of the user's connections: your code keeps one entry per user, and a newer connection "
    "replaces it. Keep a set per user, add each connection's timeout, and end each."
)
SOME_SOCKETS = (
    "The logout ends only some of the user's connections. Keep a set per user, add each connection's timeout, whether "
    "a token or a ticket opened it, and in whatever room, and end each."
)
OTHERS = "The logout of Grace affects another user. Note it under the name of the user who logs out."
FINISHED = (
    "The logout uses something that belongs to a connection that has already ended, such as its timeout. "
    "Remove that from the user's set in finally, when the connection ends."
)
REDEEMED = (
    "redeem() doesn't compare the logout with the principal of the ticket. "
    "Check principal.is_valid there, or remove the user's tickets at the logout."
)
ON_ITS_WAY = (
    "The handshake was checked before the logout, and its connection was registered after it, so the logout didn't "
    "find it. Once it's registered, check the principal again, and close the connection with 4401."
)
STAYS_LISTED = (
    "The connection is closed with 4401, and its member is still on the list. "
    "Call manager.leave() when a connection ends, by a logout too."
)
NEEDS_TOKEN = (
    "POST /logout accepts a request without a valid token. Let it depend on get_current_principal, which raises 401."
)
NO_CONTENT = "POST /logout answers with a body. Declare status_code=204 on the route, and return nothing."
STATUS = "POST /logout answers with another status. Declare status_code=204 on the route, and return nothing."


class Logout:
    @check(7, "accepts a new login after a logout in the same second, and refuses the old one")
    async def test_same_second(self, subject: Subject) -> None:
        # Use a user that no other check on this server uses.
        auth = AuthClient(await subject.under(**KEYED))

        # Wait: all checks log in first, and until then nothing finishes within a second.
        await asyncio.sleep(0.3)
        took = 0.2
        for attempt in range(3):
            # The token is issued early in a second, so that another hash fits into that second.
            await asyncio.sleep((0.15 - took - time.time()) % 1)
            start = time.time()
            token = await auth.log_in("Linus", fresh=True)
            issued = time.time()
            took = issued - start
            token = await self._logs_out_and_in(auth, token, "a logout and a login right after a login", attempt > 0)
            # The response to the login takes a few hundredths of a second at most, unless the machine is busy.
            if int(issued - 0.05) == int(time.time()):
                return await self._logs_out_again(auth, token)
        # Leave out the first login where a hash takes much of a second.
        second = int(issued)
        for _ in range(4):
            if int(time.time()) == second:
                break
            await asyncio.sleep(1 - time.time() % 1)
            second = int(time.time())
            token = await self._logs_out_and_in(auth, token, "a logout and a login, in one second", True)
        await self._logs_out_again(auth, token)

    @staticmethod
    async def _logs_out_again(auth: AuthClient, token: str) -> None:
        """Log out once more, with the token of a login that came after a logout."""
        after = "the user has logged out, logged in, and logged out again"
        await auth.answers(204, "/logout", "the new token", bearer(token), after=after, likely=STATUS)
        what = "the token of the second login"
        await auth.refuses("/ws/lobby", what, headers=bearer(token), after=after, likely=SECOND)

    @staticmethod
    async def _logs_out_and_in(auth: AuthClient, token: str, after: str, again: bool) -> str:
        """Log out and in, the first time or again, and return the new token: only this one must be accepted."""
        await auth.answers(204, "/logout", "a valid token", bearer(token), likely=STATUS)
        what = "a token from before the logout"
        before = f"{after.partition(' and ')[0]}, before the new login"
        try:
            await auth.refuses("/ws/lobby", what, headers=bearer(token), after=before, likely=LOGGED_OUT)
        except Failure as failure:
            if failure.likely == LOGGED_OUT:
                in_seconds = await _refuses_an_earlier(auth, token)
                failure.likely = SAME_SECOND if in_seconds else SECOND if again else LOGGED_OUT
            raise
        new = await auth.log_in("Linus", fresh=True)
        answer = await auth.subject.handshake("/ws/lobby", headers=bearer(new))
        if isinstance(answer, int):
            likely = f"Your code counts the new token as one from before the logout. {WHOLE_SECONDS}"
            if new == token:
                likely = (
                    "Your code counts the new token as one from before the logout: both logins made the same token, "
                    "because iat is in whole seconds. Put time.time() with its fraction into iat."
                )
            raise Failure(
                sent="a handshake for /ws/lobby with a token from after the logout",
                after=after,
                got=f"HTTP {answer}",
                expect="the connection accepted",
                likely=likely,
                broken=answer == 500,
            )
        await answer.close()
        await auth.refuses("/ws/lobby", what, headers=bearer(token), after=after, likely=COME_BACK)
        return new

    @check(7, "ends all connections, tokens and tickets of a user at a logout")
    async def test_logout(self, subject: Subject) -> None:
        auth = AuthClient(await subject.under(**KEYED))
        ada = await auth.log_in("Ada")
        newest = await auth.log_in("Grace", fresh=True)
        tokens = [*await auth.issued_earlier(newest, 20, 10), newest]
        while len(tokens) < 3:
            token = await auth.log_in("Grace", fresh=True)
            if token in tokens:
                # Two tokens of the same second may be equal.
                await asyncio.sleep(1 - time.time() % 1)
            else:
                tokens.append(token)
        older, used, newer = tokens
        tickets = {"older": await auth.create_ticket(older), "newer": await auth.create_ticket(newer)}
        of_ada = await auth.create_ticket(ada)
        for what, headers in (
            ("no token", None),
            ("a token that was made up", bearer("x.y.z")),
            ("the scheme Basic and a valid token", {"Authorization": f"Basic {newer}"}),
            ("a valid token in a cookie", {"Cookie": f"access_token={newer}; token={newer}"}),
            ("a ticket as its token", bearer(await auth.create_ticket(newer))),
        ):
            await auth.answers(401, "/logout", what, headers, likely=NEEDS_TOKEN)
        async with contextlib.AsyncExitStack() as stack:

            async def enter(room: str, **how: str) -> Member:
                return await stack.enter_async_context(auth.member(room, **how))

            # Connections that end before the logout: with a close frame, and without one.
            await (await enter("lobby", token=used)).leave()
            await (await enter("lab", token=newer)).reset()
            staying = await enter("lobby", token=ada)
            members = {
                "a connection of that token": await enter("lobby", token=used),
                "a second connection of that token": await enter("lobby", token=used),
                "a connection of an older token, in another room": await enter("lab", token=older),
                "a connection of a newer token": await enter("lobby", token=newer),
                "a connection of a ticket of that token": await enter("lab", ticket=await auth.create_ticket(used)),
                "a connection of a ticket of a newer token": await enter(
                    "lobby", ticket=await auth.create_ticket(newer)
                ),
            }
            response = await auth.answers(
                204,
                "/logout",
                "a valid token",
                bearer(used),
                after="two other connections of the user were closed before",
                likely=f"{STATUS} {FINISHED}",
            )
            if response.content:
                raise Failure(
                    sent="POST /logout", got=show(response.text), expect="status 204 without a body", likely=NO_CONTENT
                )
            await self._all_are_closed(members)
            await staying.says("hello")
            staying.did = "a message of Ada, after Grace has logged out"
            await staying.gets_message("Ada", "hello", likely=OTHERS)
        after = "Grace has logged out, and her connections were closed with 4401"
        for room in ("lobby", "lab"):
            await auth.leaves_the_list("Grace", room, ada, after=after, likely=STAYS_LISTED)
        for what, token, likely in (
            ("the token that was sent with the logout", used, LOGGED_OUT),
            ("an older token of the same user", older, ONLY_NEWER),
            ("a newer token of the same user", newer, ONLY_OLDER),
        ):
            await self._is_refused(auth, what, token, likely)
        for age, ticket in tickets.items():
            what = f"a ticket of the user's {age} token, from before the logout"
            await auth.refuses(f"/ws/lobby?ticket={ticket}", what, after="the user has logged out", likely=REDEEMED)
        await auth.answers(200, "/ticket", "a token of Ada", bearer(ada), after="Grace has logged out", likely=OTHERS)
        async with auth.member("lobby", ticket=of_ada, after="Grace has logged out", likely=OTHERS):
            pass

    @staticmethod
    async def _all_are_closed(members: dict[str, Member]) -> None:
        """Check that the logout has closed these connections with 4401."""
        for what, member in members.items():
            member.did = f"POST /logout of Grace, who has {what}"
        closing = (member.is_closed(4401, likely=SOCKETS, besides=anything) for member in members.values())
        ends = await asyncio.gather(*closing, return_exceptions=True)
        closed = [what for what, end in zip(members, ends, strict=True) if isinstance(end, list)]
        for end in ends:
            if isinstance(end, Failure) and end.likely == SOCKETS and closed:
                end.passed = f"{', and '.join(closed)} was closed with 4401"
                end.likely = ONE_SOCKET if len(closed) == 1 else SOME_SOCKETS
            if isinstance(end, BaseException):
                raise end

    @staticmethod
    async def _is_refused(auth: AuthClient, what: str, token: str, likely: str) -> None:
        """Check that a token is refused after the logout, in handshakes and on the HTTP routes."""
        after = "the user has logged out"
        headers = bearer(token)
        await auth.refuses("/ws/lobby", what, headers=headers, after=after, likely=likely)
        for path in ("/ticket", "/logout"):
            refused = f"{after}, and a handshake with this token was refused"
            await auth.answers(401, path, what, headers, after=refused, likely=ON_HTTP)
        for method, path in (
            ("GET", "/rooms/lobby/members"),
            ("GET", "/debug/sessions"),
            ("DELETE", "/rooms/lobby/members/Grace"),
        ):
            response = await auth.subject.request(method, path, headers=headers, likely=WAITS)
            if response.status_code not in (401, 403) and not is_missing(response):
                raise Failure(
                    sent=f"{method} {path} with {what}",
                    after=f"{after}, and a handshake with this token was refused",
                    got=f"status {response.status_code}, {show(response.text)}",
                    expect="status 401 or 403",
                    likely=ON_HTTP,
                    broken=response.status_code == 500,
                )

    @check(7, "ends connections whose handshake is on its way during a logout")
    async def test_on_its_way(self, subject: Subject) -> None:
        # Use a user that no other check on this server uses.
        auth = AuthClient(await subject.under(**WEST))
        token = await auth.token_of("Linus", await subject.under(**KEYED))
        url = auth.subject.server.ws("/ws/lobby")
        tickets = [await auth.create_ticket(token) for _ in range(4)]
        by_ticket = [("ticket", f"{url}?ticket={ticket}", dict[str, str]()) for ticket in tickets]
        # Some before the logout, and some after it.
        ways = [("token", url, bearer(token)), *by_ticket, *([("token", url, bearer(token))] * 3)]
        asked = [asyncio.Event() for _ in ways]
        sockets = [await connected(url) for _ in ways]
        host, port = url.split("/")[2].split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        # The server accepts TCP connections in order, so it has accepted these when it answers this request.
        await auth.subject.get("/still-there", likely=WAITS)

        async def connect(place: int) -> ClientConnection | int:
            _, where, headers = ways[place]
            patience = auth.subject.patience
            return await handshake(where, patience, headers=headers, sock=sockets[place], asked=asked[place])

        opening: list[asyncio.Task[ClientConnection | int]] = []

        async def send_handshakes(*places: int) -> None:
            opening.extend(spawn(connect(place)) for place in places)
            await asyncio.gather(*(asked[place].wait() for place in places))

        with contextlib.closing(writer):
            try:
                # The server receives the handshakes and the logout at the same time, in this order.
                with auth.subject.suspended():
                    await send_handshakes(0, 1)
                    request = f"POST /logout HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
                    writer.write(f"{request}Content-Length: 0\r\nConnection: close\r\n\r\n".encode())
                    await writer.drain()
                    await send_handshakes(*range(2, len(ways)))
                with contextlib.suppress(TimeoutError, OSError):
                    async with asyncio.timeout(auth.subject.patience):
                        await reader.read()
                answers = await asyncio.gather(*opening, return_exceptions=True)
            finally:
                await stop(*opening)
        opened = [answer for answer in answers if isinstance(answer, ClientConnection)]
        try:
            for (kind, _, _), answer in zip(ways, answers, strict=True):
                if isinstance(answer, ClientConnection):
                    member = Member(answer, auth.subject.patience, auth.mark, "Linus")
                    member.did = f"POST /logout of Linus, and at the same time handshakes with a {kind} from before it"
                    await member.is_closed(4401, likely=ON_ITS_WAY, besides=anything)
        finally:
            await asyncio.gather(*(connection.close() for connection in opened))


class HardLogouts:
    @check(7, "logs out a user with many connections, one of which reads nothing", hard=True)
    async def test_stuck_logout(self, subject: Subject) -> None:
        auth = AuthClient(await subject.under(**WEST))
        ada, grace, linus = [await auth.log_in(name, fresh=True) for name in ("Ada", "Grace", "Linus")]
        async with contextlib.AsyncExitStack() as stack:
            stuck = await stack.enter_async_context(
                auth.subject.client("/ws/lobby", headers=bearer(linus), small_buffers=True, who="Linus")
            )
            sent = await stack.enter_async_context(flooding(stuck))
            await until_stuck(auth.subject, sent)
            # They join later, so that they don't get the large messages.
            members = [await stack.enter_async_context(auth.member("lobby", token=linus)) for _ in range(MANY)]
            joining = await stack.enter_async_context(auth.member("lobby", token=grace))
            joining.did = "POST /logout of Grace, who joined after the buffers of another member were full"
            await auth.answers(204, "/logout", "a valid token", bearer(grace), after=joining.did, likely=STATUS)
            await joining.is_closed(4401, likely=WHILE_JOINING, besides=anything)
            await auth.leaves_the_list("Grace", "lobby", ada, after=joining.did, likely=LISTED_WHILE_JOINING, seconds=2)
            after = f"the user has {MANY} connections, and one more that reads nothing and whose buffers are full"
            try:
                await auth.answers(204, "/logout", "a valid token", bearer(linus), after=after, likely=STATUS)
            except Failure as failure:
                if failure.got.startswith("no answer"):
                    failure.after, failure.likely, failure.certain = after, CLOSES, True
                raise
            codes = await asyncio.gather(*(self._close_code(member) for member in members))
            if any(code != 4401 for code in codes):
                still_open = codes.count(None)
                others = sorted({code for code in codes if code not in (None, 4401)})
                raise Failure(
                    sent="POST /logout with a valid token of Linus",
                    after=after,
                    got=f"{codes.count(4401)} of {MANY} connections closed with 4401, {still_open} still open"
                    + (f", others closed with {others}" if others else ""),
                    expect=f"all {MANY} connections that read closed with 4401",
                    likely=SOME if 4401 in codes else IN_TURN,
                )
            after = "Linus has logged out, and one of his connections reads nothing"
            await auth.leaves_the_list("Linus", "lobby", ada, after=after, likely=LIST_WAITS, seconds=2)

    @staticmethod
    async def _close_code(member: Member) -> int | None:
        """Read until the connection is closed, at most for twice the patience, and return the close code."""
        with contextlib.suppress(TimeoutError, ConnectionClosed):
            async with asyncio.timeout(2 * member.patience):
                async for _ in member.connection:
                    pass
        return member.connection.close_code

    @check(7, "leaves no task behind when a connection ends", hard=True)
    async def test_tasks(self, subject: Subject) -> None:
        async with subject.another(counting=True, **KEYED) as own:
            auth = AuthClient(own)
            token = await auth.log_in("Linus", fresh=True)
            async with auth.member("lobby", token=token):
                pass
            before = await own.unfinished()
            for _ in range(5):
                async with (
                    auth.member("lobby", token=token) as one,
                    auth.member("lobby", ticket=await auth.create_ticket(token)) as two,
                    auth.member("lobby", token=token),
                ):
                    await one.leave()
                    await two.reset()
            await own.eventually_idle(before, after="15 connections were opened, and each has ended")


async def _refuses_an_earlier(auth: AuthClient, token: str) -> bool:
    """Return whether a token is refused that's like this one, but was issued in the second before."""
    issued = claims_of(token).get("iat")
    if not isinstance(issued, (int, float)):
        return False
    answer = await auth.subject.handshake("/ws/lobby", headers=bearer(forged(token, KEY, {"iat": int(issued) - 0.3})))
    if isinstance(answer, int):
        return answer in (401, 403)
    await answer.close()
    return False


CLOSES = (
    "POST /logout waits until each connection is closed, and one client reads nothing. "
    "End the wait of each connection's own endpoint instead, as an expiry does, and let the endpoint close it."
)
LIST_WAITS = (
    "The list waits for the close, which waits until the client reads. Start both together with asyncio.gather(), or "
    "take the member off the list first."
)
SOME = (
    "The logout ends some of the user's connections only, so your code keeps a limited number of them, or the set "
    "changes while the loop runs over it. Keep all in one set, and loop over a copy."
)
WHILE_JOINING = (
    "Your code registers a connection for the logout after join(), which waits for a member that reads nothing; or the "
    "logout awaits leave(), which waits too, before it closes. Register it before join(), and start both together."
)
LISTED_WHILE_JOINING = (
    "A member whose join() was cut off stays on the list, because your code leaves the room only after a whole join(). "
    "Call manager.leave() however the connection ends: in finally, around join() too."
)
IN_TURN = (
    "The logout ends no connection of the user, or one after another, and waits for the one that reads nothing. Let it "
    "end all of them together, without waiting for any."
)
MANY = 30
"""The number of connections of one user."""
