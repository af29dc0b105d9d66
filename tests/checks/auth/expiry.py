"""Step 06, TODO 6: a connection is closed when its token expires."""

import asyncio
import contextlib
import json
import math
import time
from collections.abc import AsyncIterator

from judge.auth import KEY, KEYED, WEST, AuthClient, Member, bearer, claims_of, forged
from judge.clients import Client, ClientConnection, anything
from judge.flood import LARGE, MANY
from judge.members import joined, left, said
from judge.model import Failure, Likely, check
from judge.subject import Subject
from judge.tasks import running, spawn, stop
from websockets import ConnectionClosed

STAYING = "a message on a connection of a newer token of the same user, which hasn't expired"
TIMER = "Put asyncio.timeout(principal.expires_at - time.time() + 0.1) around join() and the loop."
NO_TIMER = f"Nothing ends a connection when its token expires. {TIMER}"
ONLY_TALKING = f"Your code looks at the expiry only when a message arrives, so a silent connection stays open. {TIMER}"
ONLY_SILENT = (
    "Each message starts the time again, so a connection that sends messages stays open. "
    "Start the timer once, before the loop."
)
OWN_TIME = (
    "A connection that was opened with a ticket has an expiry of its own, so issuing or redeeming the ticket sets a "
    "new expires_at. Store the principal of the token with the ticket, and keep it as it is."
)
EARLY = (
    "The connection is closed before the exp of its token. Compute the remaining time from exp, rounded nowhere, "
    "and add a tenth of a second, because a timer may fire early."
)
LATE = "The connection is closed too late: its time starts again at the handshake, or it's checked too rarely. " + TIMER
NO_CODE = "The endpoint ends without a close frame. Catch the TimeoutError, and close with 4401 there."
OTHER_CODE = "The connection is closed with another code. Pass 4401 to close()."
NEWER = (
    "The expiry of one token ends a connection of another token of the same user. "
    "Give each connection its own timer, and close only that connection."
)
BY_NAME = (
    "The connection of the newer token is open, and isn't in the room any longer: the expiry removed its name. "
    "Remove only the tab that has expired, and the name with its last tab."
)
LISTED = (
    "Your code takes the tab off the list after its close, which waits until the client reads. "
    "Start both together with asyncio.gather(), or take it off the list first."
)
BESIDE = (
    "Before it closes the connection, your code sends to the other members, and one of them reads nothing, so that "
    "send waits. Let manager.leave() alone send left, with the name's last tab, and start it together with the close: "
    "asyncio.gather(manager.leave(...), close(...))."
)
AFTERWARDS = {
    "after": "an older token of the same user has expired",
    "likely": "The expiry of one token ends other tokens or tickets of its user. Let it end its own connections only: "
    "each token and ticket has an expiry of its own.",
}
WHILE_JOINING = (
    "The time limit of the connection starts after join(), which waits for a member that reads nothing. "
    "Put join() into the block of the timeout too."
)
OLD_TICKET = (
    "redeem() doesn't look at the expiry of the token that the ticket was issued for. "
    "Check principal.is_valid there, or compare principal.expires_at with time.time()."
)
OLD_TOKEN = "decode() accepts an expired token. Let jwt.decode() verify exp, without leeway."
OLD_ON_HTTP = "A handshake with this token was refused, and this route accepts it. Let both call the same decode()."
TOO_SOON = (
    "Your code sends left when a token expires, although another tab of the same member is in the room. "
    "Leave through manager.leave(), which sends it with the last tab."
)
SNAPSHOT = "The list or the notice doesn't fit. Keep join() and leave() of step 05: a name joins with its first tab."
LEFT_LISTED = "The name stays on the list after its last tab's token has expired. Call manager.leave() then."


ENOUGH = 16.0
"""Seconds after which a busy machine repeats nothing."""


class _TooSlow(Exception):
    """The machine was too busy for a situation that lasts for a limited time."""


class Expiry:
    @check(6, "closes a connection with 4401 when its token expires")
    async def test_expires(self, subject: Subject) -> None:
        start = time.monotonic()
        for seconds in (0.3, 1.0, 3.0):
            auth = AuthClient(await subject.under(**KEYED))
            if (ended := await self._forged_expires(auth, seconds)) is not None:
                break
        if ended:
            return
        # An answer may identify its tokens by more than their claims, so tokens that it issued itself decide.
        # Repeat this if the machine was too busy to check before a token or a ticket had expired.
        for lifetime in (3, 3, 8):
            if time.monotonic() > start + ENOUGH:
                break
            auth = AuthClient(await subject.under(TOKEN_SECONDS=str(lifetime)))
            if await self._saw_it_expire(auth, lifetime):
                break

    async def _forged_expires(self, auth: AuthClient, seconds: float) -> bool | None:
        """Check when connections of a token that's forged to expire soon, and of its tickets, are closed.

        Args:
            auth: a client of the server for which tokens can be forged.
            seconds: the minimum lifetime of the token, in seconds.

        Returns:
            Whether everything is right, or None if the machine was too slow for that lifetime.
        """
        newer = await auth.log_in("Ada")
        end = math.ceil(time.time() + seconds)
        token = forged(newer, KEY, {"exp": end})
        async with contextlib.AsyncExitStack() as stack:

            async def enter(room: str = "lobby", **how: str) -> Member:
                return await stack.enter_async_context(auth.member(room, **how))

            try:
                creating = (auth.create_ticket(each) for each in (token, token, token, newer))
                one, two, unused, spare = await asyncio.gather(*creating)
                ways: dict[str, dict[str, str]] = {
                    "silent, opened with its token": {"token": token},
                    "silent, in another room, opened with a ticket": {"ticket": one, "room": "lab"},
                    "talking, opened with its token": {"token": token},
                    "talking, opened with a ticket": {"ticket": two},
                }
                async with running(enter(token=newer), *(enter(**way) for way in ways.values())) as entering:
                    staying, *opened = await asyncio.gather(*entering)
                members = dict(zip(ways, opened, strict=True))
                # One that has ended by itself before: its timer must not fire.
                await (await enter(token=token)).leave()
            except Failure:
                return None if time.time() >= end else False
            try:
                await self._all_close(members, end, "with exp up to two seconds ahead")
                await self._are_refused(auth, token, unused)
                await staying.is_open("Ada", STAYING, likely=Likely(BY_NAME, closed=NEWER))
                await enter(ticket=spare, **AFTERWARDS)
                await enter(token=newer, **AFTERWARDS)
            except Failure:
                return False
        return True

    async def _saw_it_expire(self, auth: AuthClient, lifetime: int) -> bool:
        """Check when connections of a token, of its tickets and of a newer token are closed.

        Args:
            auth: a client of a server with that lifetime.
            lifetime: TOKEN_SECONDS.

        Returns:
            Whether everything was checked in time.

        Raises:
            Failure: a connection is closed too early, too late or in another way.
        """
        token = await auth.log_in("Ada", fresh=True)
        end = float(claims_of(token)["exp"])
        unused = [await auth.create_ticket(token) for _ in range(3)]
        async with contextlib.AsyncExitStack() as stack:

            async def enter(**how: str) -> Member:
                return await stack.enter_async_context(auth.member("lobby", **how))

            members = {
                "silent, opened with its token": await enter(token=token),
                "silent, opened with a ticket": await enter(ticket=unused.pop()),
                "talking, opened with its token": await enter(token=token),
                "talking, opened with a ticket": await enter(ticket=await auth.create_ticket(token)),
            }

            async def enter_anew() -> tuple[Member, float, float, asyncio.Task[float], dict[str, str]]:
                # Two tokens of the same second may be equal.
                await asyncio.sleep(end - time.time() - 0.4 * lifetime - 0.1)
                newer = await auth.log_in("Ada", fresh=True)
                spare = await auth.create_ticket(newer)
                member = await enter(token=newer)
                closes = spawn(_closed_at(member))
                stack.callback(closes.cancel)
                credentials = {"ticket": spare, "token": newer}
                return member, time.time(), float(claims_of(newer)["exp"]), closes, credentials

            entering = spawn(enter_anew())
            stack.callback(entering.cancel)
            # So late that a connection would be closed too late if its time started again.
            await asyncio.sleep(end - time.time() - 0.5)
            saw_all = True
            for how in ("redeemed", "issued and redeemed"):
                try:
                    ticket = unused.pop() if how == "redeemed" else await auth.create_ticket(token)
                except Failure:
                    if time.time() < end:
                        raise
                    saw_all = False
                    break
                answer = await auth.subject.handshake(f"/ws/lobby?ticket={ticket}")
                if isinstance(answer, ClientConnection):
                    stack.push_async_callback(answer.close)
                    member = Member(answer, auth.subject.patience, auth.mark)
                    members[f"silent, opened with a ticket {how} just before"] = member
                elif time.time() > end:
                    saw_all = False
            await asyncio.gather(entering, self._all_close(members, end, f"with TOKEN_SECONDS={lifetime}"))
            staying, entered, its_end, closes, newer = entering.result()
            saw_all = saw_all and entered < end - 0.1
            if closes.done() and closes.result() < its_end - 0.2:
                raise Failure(
                    sent="nothing, on a connection of a newer token of the same user, which hasn't expired",
                    after="an older token of the user has expired",
                    got=f"the connection closed, code {staying.connection.close_code}",
                    expect="the connection still open",
                    likely=NEWER,
                )
            await stop(closes)
            if time.time() > its_end - 0.2:
                saw_all = False
            else:
                await staying.is_open("Ada", STAYING, likely=Likely(BY_NAME, closed=NEWER))
                for credential, value in newer.items():
                    if time.time() < its_end - 0.5:
                        await enter(**{credential: value}, **AFTERWARDS)
        await self._are_refused(auth, token, unused[0])
        return saw_all

    @check(6, "takes a member off the list and closes it when its token expires, even if a client reads nothing")
    async def test_stuck(self, subject: Subject) -> None:
        # Use other servers, because the list is judged.
        auth = AuthClient(await subject.under(**WEST))
        keyed = await subject.under(**KEYED)
        ada, grace = await auth.token_of("Ada", keyed), await auth.token_of("Grace", keyed)
        # On a busy machine, the hashes of all checks may take as long as the rest of this one.
        start = time.monotonic()
        with contextlib.suppress(Failure):
            # Repeat this if the machine was too busy to connect all clients before the tokens had expired.
            for seconds in (0.5, 4, 10):
                end = {"exp": math.ceil(time.time() + seconds)}
                with contextlib.suppress(_TooSlow):
                    tokens = forged(ada, KEY, end), forged(grace, KEY, end), ada
                    return await self._end_in_time(auth, *tokens, reader=grace)
            return
        # An answer may identify its tokens by more than their claims, so tokens that it issued itself decide.
        for seconds in (3, 8):
            if time.monotonic() > start + ENOUGH:
                break
            auth = AuthClient(await subject.under(TOKEN_SECONDS=str(seconds), TICKET_SECONDS="29"))
            ada, grace = await auth.log_in("Ada", fresh=True), await auth.log_in("Grace", fresh=True)
            # This token must expire later, so that its member is still in the room when the others expire.
            await asyncio.sleep(1.1)
            with contextlib.suppress(_TooSlow):
                later = await auth.log_in("Ada", fresh=True)
                return await self._end_in_time(auth, ada, grace, later, reader=grace)

    async def _end_in_time(self, auth: AuthClient, ada: str, grace: str, later: str, *, reader: str) -> None:
        """Check two members when their tokens expire: one that reads nothing, and one beside such a member.

        Args:
            auth: a client of the server.
            ada: Ada's token for the lab, where she reads nothing. It expires soon.
            grace: Grace's token for the lobby. It expires soon.
            later: Ada's token for the lobby, where she reads nothing. It expires later.
            reader: Grace's token for the list of the lab. If it expires, she logs in again.

        Raises:
            _TooSlow: the tokens expired before all clients were connected.
            Failure: a member isn't closed, or is still on the list.
        """
        end = float(claims_of(ada)["exp"])
        async with contextlib.AsyncExitStack() as stack:
            try:
                beside = await stack.enter_async_context(auth.member("lobby", token=grace))
                stuck, expiring = [
                    await stack.enter_async_context(
                        auth.subject.client(path, headers=bearer(token), small_buffers=True, who="Ada")
                    )
                    for path, token in (("/ws/lobby", later), ("/ws/lab", ada))
                ]
                # The server sends Ada's messages back to her connections until it can't write.
                await stack.enter_async_context(flooding(stuck))
                await until_stuck(auth.subject, await stack.enter_async_context(flooding(expiring)))
                # The notice that she has joined can't be sent, so she's still joining when her token expires.
                joining = await stack.enter_async_context(auth.member("lab", token=grace))
            except Failure:
                if time.time() > end - 0.1:
                    raise _TooSlow from None
                raise
            if time.time() > end - 0.1:
                raise _TooSlow
            await self._end_beside(auth, beside, joining, ada, grace, later, reader)

    async def _end_beside(
        self, auth: AuthClient, beside: Member, joining: Member, ada: str, grace: str, later: str, reader: str
    ) -> None:
        """Check two members beside one that reads nothing, and that one, when their tokens expire.

        Args:
            auth: a client of the server.
            beside: Grace's connection in the lobby.
            joining: Grace's connection in the lab.
            ada: the token of Ada's connection in the lab.
            grace: the token of Grace's connections.
            later: a token of Ada that expires later.
            reader: a token of Grace for the list of the lab.
        """
        expiry = float(claims_of(grace)["exp"])
        members = {
            "silent, beside a member that reads nothing and whose buffers are full": (beside, BESIDE),
            "silent, in a room that it joined after the buffers of another member were full": (joining, WHILE_JOINING),
        }
        closing = (self._closes(how, member, expiry) for how, (member, _) in members.items())
        *ends, _ = await asyncio.gather(*closing, self._is_off_the_list(auth, ada, reader))
        for (how, (_, likely)), (code, late) in zip(members.items(), ends, strict=True):
            if code != 4401 or late < -0.1:
                likely = likely if code is None else ""
                raise self._not_closed({how: (code, late)}, how, "with a token of its own", likely)
        after = "Grace's only connection in the lobby was closed with 4401 at the expiry of its token"
        await auth.leaves_the_list("Grace", "lobby", later, after=after, likely=LEFT_LISTED)

    @staticmethod
    async def _is_off_the_list(auth: AuthClient, token: str, reader: str) -> None:
        """Check that a member of the lab that reads nothing is off the list within two seconds after its token expires.

        Args:
            auth: a client of the server.
            token: the member's token.
            reader: a token of Grace for the list. If it expires, she logs in again.

        Raises:
            Failure: the member is still on the list.
        """
        end = float(claims_of(token)["exp"])
        await asyncio.sleep(end - time.time())
        after = "Ada's token has expired; she reads nothing in the lab, and the buffers on the way to her are full"
        remaining = end + 2 - time.time()
        await auth.leaves_the_list("Ada", "lab", reader, after=after, likely=LISTED, seconds=remaining, log_in="Grace")

    @staticmethod
    async def _are_refused(auth: AuthClient, token: str, ticket: str) -> None:
        """Check that an expired token and its unused ticket are refused."""
        after = "the token has expired"
        await auth.refuses(
            f"/ws/lobby?ticket={ticket}", "an unused ticket of a token that has expired", after=after, likely=OLD_TICKET
        )
        headers = bearer(token)
        await auth.refuses("/ws/lobby", "a token that has expired", headers=headers, after=after, likely=OLD_TOKEN)
        for path in ("/ticket", "/logout"):
            await auth.answers(401, path, "a token that has expired", headers, after=after, likely=OLD_ON_HTTP)

    async def _all_close(self, members: dict[str, Member], end: float, settings: str) -> None:
        """Check that connections are closed with 4401 within two seconds after their token expires, and not before.

        Raises:
            Failure: one isn't. The results of the others decide the likely mistake.
        """
        ends = await asyncio.gather(*(self._closes(how, member, end) for how, member in members.items()))
        results = dict(zip(members, ends, strict=True))
        for how, (code, late) in results.items():
            if code != 4401 or late < -0.1:
                raise self._not_closed(results, how, settings)

    @staticmethod
    def _not_closed(results: dict[str, tuple[int | None, float]], how: str, settings: str, likely: str = "") -> Failure:
        """Explain a connection that wasn't closed in the right way.

        Args:
            results: by connection, its close code, and the time from the expiry to the close, in seconds.
            how: the wrong one.
            settings: the settings of the server.
            likely: the mistake; by default, the results of the others decide.
        """
        code, late = results[how]
        right = [each for each, (other, _) in results.items() if other == 4401]
        if likely:
            pass
        elif code is None and not right:
            likely = NO_TIMER
        elif code is None and "ticket" in how and all("with its token" in each for each in right):
            likely = OWN_TIME
        elif code is None and how.startswith("silent") and all(each.startswith("talking") for each in right):
            likely = ONLY_TALKING
        elif code is None and how.startswith("talking") and all(each.startswith("silent") for each in right):
            likely = ONLY_SILENT
        elif code is None:
            likely = LATE
        elif late < -0.1:
            likely = OWN_TIME if "ticket" in how and any("with its token" in each for each in right) else EARLY
        else:
            likely = NO_CODE if code == 1006 else OTHER_CODE
        got = f"code {code}, {abs(late):.1f} s {'after' if late >= 0 else 'before'} its token's expiry"
        return Failure(
            sent=f"{'nothing' if how.startswith('silent') else 'messages'}, on a connection that's {how}, {settings}",
            got=got if code is not None else f"the connection still open {late:.1f} s after its token's expiry",
            expect="the connection closed with code 4401, not before its token expires and within 2 s after",
            likely=likely,
            passed=f"the connection that's {right[0]}, was closed with 4401" if right and how not in right else None,
            broken=code == 1006,
        )

    @staticmethod
    async def _closes(how: str, member: Member, end: float) -> tuple[int | None, float]:
        """Wait until the connection is closed, at most until its deadline.

        Args:
            how: what the connection is like, for the message of a failure.
            member: the connection.
            end: the expiry of its token, in seconds of `time.time()`.

        Returns:
            The close code, None if it's open; and the time from the expiry until then, in seconds.
        """
        talking = how.startswith("talking")
        # On a busy machine, an answer that closes when the token expires has two seconds to spare.
        deadline = asyncio.timeout(end + 2.2 - time.time())
        closed = spawn(member.connection.wait_closed())
        reading = spawn(_read(member))
        try:
            async with deadline:
                while talking and not closed.done():
                    await member.says("still here")
                    await asyncio.wait({closed}, timeout=0.05)
                await asyncio.shield(closed)
        except TimeoutError:
            pass
        finally:
            await stop(closed, reading)
        # Allow a tenth of a second, because two processes read the clock.
        return member.connection.close_code, time.time() - end


class HardExpiry:
    @check(6, "notifies the others when the last tab of a member has expired, and not before", hard=True)
    async def test_last_tab(self, subject: Subject) -> None:
        # Repeat this if the machine was too busy to connect all clients before the first token had expired.
        for lifetime in (6, 12):
            auth = AuthClient(await subject.under(TOKEN_SECONDS=str(lifetime)))
            with contextlib.suppress(_TooSlow):
                return await self._notifies_last(auth, lifetime)

    @staticmethod
    async def _notifies_last(auth: AuthClient, lifetime: int) -> None:
        """Check what the others receive when the token of a member's first tab expires, and when that of its last does.

        Args:
            auth: a client of a server with that lifetime.
            lifetime: TOKEN_SECONDS.

        Raises:
            _TooSlow: the first token expired before its tab was connected.
            Failure: a tab isn't closed, or the others receive something else.
        """
        tokens = [await auth.log_in("Grace", fresh=True)]
        for name in ("Grace", "Ada"):
            # Each token must expire later than the one before, in whole seconds.
            await asyncio.sleep(1.1)
            tokens.append(await auth.log_in(name, fresh=True))
        end = float(claims_of(tokens[0])["exp"])
        first, second, ada = map(bearer, tokens)
        async with (
            auth.subject.client("/ws/lobby", headers=ada, who="Ada") as other,
            auth.subject.client("/ws/lobby", headers=second, who="Grace, in her second tab") as staying,
        ):
            await other.gets({"type": "members", "names": ["Ada"]}, likely=SNAPSHOT)
            other.did = "a handshake of Grace"
            await other.gets(joined("Grace"), likely=SNAPSHOT)
            await staying.gets({"type": "members", "names": ["Ada", "Grace"]}, likely=SNAPSHOT)
            if time.time() > end - 1:
                raise _TooSlow
            async with auth.subject.client("/ws/lobby", headers=first, who="Grace, in her first tab") as expiring:
                # This is as long as a token lives.
                expiring.patience = lifetime
                expiring.did = f"nothing, until the token of this tab had expired, with TOKEN_SECONDS={lifetime}"
                await expiring.is_closed(4401, likely=NO_TIMER, besides=anything)
            await staying.send({"type": "message", "text": "still here"})
            staying.did = "a message of Grace's second tab, after the token of her first one has expired"
            await staying.gets(said("Grace", "still here"), likely=BY_NAME)
            other.did = staying.did
            other.earlier = "nothing, until the token of Grace's first tab had expired"
            await other.gets(said("Grace", "still here"), likely=Likely(BY_NAME, wrong=TOO_SOON, surplus=TOO_SOON))
            staying.patience = lifetime
            staying.did = f"nothing, until the token of this tab had expired, with TOKEN_SECONDS={lifetime}"
            await staying.is_closed(4401, likely=NO_TIMER)
            other.did = "nothing, and the token of Grace's last tab has expired"
            await other.gets(left("Grace"), likely=LEFT_LISTED)


@contextlib.asynccontextmanager
async def flooding(member: Client) -> AsyncIterator[list[int]]:
    """Let a member that reads nothing send more than the buffers on the way back to it can hold.

    Yields:
        A list that gets a 1 for each message that the server, or the buffers before it, have accepted.
    """
    member.stop_reading()
    sent: list[int] = []

    async def send() -> None:
        with contextlib.suppress(ConnectionClosed):
            for _ in range(MANY):
                await member.connection.send(json.dumps({"type": "message", "text": LARGE}))
                sent.append(1)

    async with running(send()):
        yield sent


async def until_stuck(subject: Subject, sent: list[int]) -> None:
    """Wait until a member's messages no longer reach the server, because it waits for that member to read.

    Args:
        subject: the running answer.
        sent: the list of `flooding`.
    """
    # On a busy machine, a response may take longer than the patience while large messages are on their way.
    for _ in range(5):
        with contextlib.suppress(Failure):
            return await subject.stands_still(lambda: sum(sent))


async def _closed_at(member: Member) -> float:
    """Read until the connection is closed, and return the time of the close, in seconds of `time.time()`."""
    with contextlib.suppress(ConnectionClosed):
        await _read(member)
    return time.time()


async def _read(member: Member) -> None:
    """Read until the connection is closed, so that no buffer fills up."""
    async for _ in member.connection:
        pass
