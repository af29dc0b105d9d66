"""Step 06, TODO 6: a connection is closed when its token expires."""

import asyncio
import contextlib
import json
import math
import time
from collections.abc import AsyncIterator

from judge.auth import KEY, KEYED, AuthClient, Member, bearer, claims_of, forged
from judge.clients import Client, ClientConnection
from judge.flood import LARGE, MANY
from judge.messages import show
from judge.model import Failure, check
from judge.subject import Subject
from judge.tasks import running, spawn, stop
from websockets import ConnectionClosed

SHORT = {"TOKEN_SECONDS": "3"}
"""Settings of another server, whose tokens expire soon."""
EXPIRES = (
    "a time limit for each connection, up to the expiry of its token: asyncio.timeout around the loop of the endpoint"
)
LISTED = (
    "Your code takes the tab off the list after its close, which waits until the client reads. "
    "Start both together, or take it off the list first."
)


class Expiry:
    @check(6, "closes a socket with 4401 when its token expires")
    async def test_expires(self, subject: Subject) -> None:
        for seconds in (0.3, 1.0, 3.0):
            auth = AuthClient(await subject.under(**KEYED))
            if (ended := await self._forged_expires(auth, seconds)) is not None:
                break
        if ended:
            return
        # An answer may identify its tokens by more than their claims, so tokens that it issued itself decide.
        auth = AuthClient(await subject.under(**SHORT))
        # Repeat this if the machine was too busy to check before a token or a ticket had expired.
        for _ in range(3):
            if await self._saw_it_expire(auth):
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

            async def enter(**how: str) -> Member:
                return await stack.enter_async_context(auth.member("lobby", **how))

            try:
                one, two, unused = await asyncio.gather(*(auth.create_ticket(token) for _ in range(3)))
                ways = {
                    "silent, opened with its token": {"token": token},
                    "silent, opened with a ticket": {"ticket": one},
                    "talking, opened with its token": {"token": token},
                    "talking, opened with a ticket": {"ticket": two},
                }
                async with running(enter(token=newer), *(enter(**way) for way in ways.values())) as entering:
                    staying, *opened = await asyncio.gather(*entering)
                members = dict(zip(ways, opened, strict=True))
            except Failure:
                return None if time.time() >= end else False
            try:
                await asyncio.gather(*(self._closes(*each, end) for each in members.items()))
                await self._are_refused(auth, token, unused)
                await staying.is_open("Ada", "a message", likely=EXPIRES)
            except Failure:
                return False
        return True

    async def _saw_it_expire(self, auth: AuthClient) -> bool:
        """Check when connections of a token, of its tickets and of a newer token are closed.

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

            async def enter_anew() -> tuple[Member, float, asyncio.Task[float]]:
                # Two tokens of the same second may be equal.
                await asyncio.sleep(end - time.time() - 1.3)
                newer = await auth.log_in("Ada", fresh=True)
                member = await enter(token=newer)
                closes = spawn(_closed_at(member))
                stack.callback(closes.cancel)
                return member, float(claims_of(newer)["exp"]), closes

            entering = spawn(enter_anew())
            stack.callback(entering.cancel)
            # So late that a connection would be closed too late if its time started again.
            await asyncio.sleep(end - time.time() - 0.5)
            saw_all = True
            for how in ("used", "bought"):
                try:
                    ticket = unused.pop() if how == "used" else await auth.create_ticket(token)
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
            await asyncio.gather(entering, *(self._closes(*each, end) for each in members.items()))
            staying, its_end, closes = entering.result()
            if closes.done() and closes.result() < its_end - 0.2:
                raise Failure(
                    sent="nothing, on the socket of a newer token of the same user, which has not expired",
                    got=f"the connection closed, code {staying.connection.close_code}",
                    expect="the connection still open",
                    likely=EXPIRES,
                )
            await stop(closes)
            if time.time() > its_end - 0.2:
                saw_all = False
            else:
                what = "a message on the socket of a newer token of the same user, which has not expired"
                await staying.is_open("Ada", what, likely=EXPIRES)
        await self._are_refused(auth, token, unused[0])
        return saw_all

    @check(6, "takes a member that reads nothing off the list when its token expires")
    async def test_stuck(self, subject: Subject) -> None:
        # Use other servers, because the list is judged. Tokens that the answer issued itself decide.
        for settings in (KEYED | {"TICKET_SECONDS": "29"}, SHORT | {"TICKET_SECONDS": "29"}):
            auth = AuthClient(await subject.under(**settings))
            token = await auth.log_in("Ada")
            if "SECRET_KEY" not in settings:
                return await self._is_off_the_list(auth, token)
            with contextlib.suppress(Failure):
                return await self._is_off_the_list(auth, forged(token, KEY, {"exp": math.ceil(time.time() + 0.5)}))

    @staticmethod
    async def _is_off_the_list(auth: AuthClient, token: str) -> None:
        """Check that a member that reads nothing is off the list within two seconds after its token expires.

        Raises:
            Failure: the member is still on the list.
        """
        end = float(claims_of(token)["exp"])
        async with (
            auth.subject.client("/ws/lobby", headers=bearer(token), small_buffers=True, who="Ada") as ada,
            # The server sends Ada's messages back to this connection until it can't write.
            flooding(ada),
        ):
            await asyncio.sleep(end - time.time())
            # Log in now, so that in the server's order of events this login comes after the expiry.
            grace = bearer(await auth.log_in("Grace", fresh=True))
            deadline = end + 2 + auth.subject.patience
            path = "/rooms/lobby/members"
            while True:
                response = await auth.subject.request("GET", path, headers=grace, likely=LISTED)
                if response.status_code == 401:
                    grace = bearer(await auth.log_in("Grace", fresh=True))
                    continue
                if "Ada" not in response.text:
                    break
                if time.time() > deadline:
                    raise Failure(
                        sent=f"GET {path} {time.time() - end:.1f} s after the end of Ada's token",
                        after="Ada reads nothing, and her token has expired",
                        got=show(response.text),
                        expect="a list without Ada",
                        likely=LISTED,
                    )
                await asyncio.sleep(0.05)

    @staticmethod
    async def _are_refused(auth: AuthClient, token: str, ticket: str) -> None:
        """Check that an expired token and its unused ticket are refused."""
        for what, path, headers in (
            ("a ticket that was not used, of a token that has expired", f"/ws/lobby?ticket={ticket}", None),
            ("a token that has expired", "/ws/lobby", bearer(token)),
        ):
            after = "the token had expired"
            await auth.refuses(path, what, headers=headers, after=after, likely="a ticket ends with its token")

    @staticmethod
    async def _closes(how: str, member: Member, end: float) -> None:
        """Check that the connection is closed with 4401 within two seconds after its token expires, and not before."""
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
        late = time.time() - end
        code = member.connection.close_code
        # Allow a tenth of a second, because two processes read the clock.
        if code == 4401 and -0.1 <= late:
            return
        got = f"code {code}, {abs(late):.1f} s {'after' if late >= 0 else 'before'} the end of its token"
        raise Failure(
            sent=f"nothing, or messages, on a socket that is {how}, with TOKEN_SECONDS=3",
            got=got if code is not None else f"the socket still open {late:.1f} s after the end of its token",
            expect="the socket closed with code 4401, not before its token expires and within 2 s after",
            likely=EXPIRES,
            broken=code == 1006,
        )


@contextlib.asynccontextmanager
async def flooding(member: Client) -> AsyncIterator[None]:
    """Let a member that reads nothing send more than the buffers on the way back to it can hold."""
    member.stop_reading()

    async def send() -> None:
        with contextlib.suppress(ConnectionClosed):
            for _ in range(MANY):
                await member.connection.send(json.dumps({"type": "message", "text": LARGE}))

    async with running(send()):
        yield


async def _closed_at(member: Member) -> float:
    """Read until the connection is closed, and return the time of the close, in seconds of `time.time()`."""
    with contextlib.suppress(ConnectionClosed):
        await _read(member)
    return time.time()


async def _read(member: Member) -> None:
    """Read until the connection is closed, so that no buffer fills up."""
    async for _ in member.connection:
        pass
