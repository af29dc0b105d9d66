"""Step 06, TODO 7: a logout ends the user's connections, tokens and tickets."""

import asyncio
import time

from judge.auth import KEYED, AuthClient, bearer
from judge.clients import anything
from judge.messages import show
from judge.model import Failure, check
from judge.subject import Subject

LOGGED_OUT = "note for the user when the logout was, or a number that goes up, and put the same into each token"


class Logout:
    @check(7, "tells a new login from an old one, in the same second too")
    async def test_same_second(self, subject: Subject) -> None:
        # Use a user that no other check on this server uses.
        auth = AuthClient(await subject.under(**KEYED))

        # Wait: all checks log in first, and until then nothing finishes within a second.
        await asyncio.sleep(0.3)
        took = 0.2
        for _ in range(3):
            # The token is issued early in a second, so that another hash fits into that second.
            await asyncio.sleep((0.15 - took - time.time()) % 1)
            start = time.time()
            token = await auth.log_in("Linus", fresh=True)
            issued = time.time()
            took = issued - start
            token = await self._logs_out_and_in(auth, token, "a logout and a login right after a login")
            # The response to the login takes a few hundredths of a second at most, unless the machine is busy.
            if int(issued - 0.05) == int(time.time()):
                return
        # Leave out the first login where a hash takes much of a second.
        second = int(issued)
        for _ in range(4):
            if int(time.time()) == second:
                return
            await asyncio.sleep(1 - time.time() % 1)
            second = int(time.time())
            token = await self._logs_out_and_in(auth, token, "a logout and a login, in one second")

    @staticmethod
    async def _logs_out_and_in(auth: AuthClient, token: str, after: str) -> str:
        """Log out and in, and return the new token: the old one must be refused, and the new one accepted."""
        await auth.answers(204, "/logout", "a good token", bearer(token), likely="204, no body")
        new = await auth.log_in("Linus", fresh=True)
        answer = await auth.subject.handshake("/ws/lobby", headers=bearer(new))
        if isinstance(answer, int):
            raise Failure(
                sent="a handshake for /ws/lobby with a token from after the logout",
                after=after,
                got=f"HTTP {answer}",
                expect="the socket accepted",
                likely="what is noted is in whole seconds, or the two tokens are the same: "
                "iat with its fraction, or a number that goes up, tells them apart",
                broken=answer == 500,
            )
        await answer.close()
        await auth.refuses(
            "/ws/lobby",
            "a token from before the logout",
            headers=bearer(token),
            after=after,
            likely=f"what is noted must not be in whole seconds: {LOGGED_OUT}",
        )
        return new

    @check(7, "logs a user out, everywhere and at once")
    async def test_logout(self, subject: Subject) -> None:
        auth = AuthClient(await subject.under(**KEYED))
        ada = await auth.log_in("Ada")
        older = await auth.log_in("Grace", fresh=True)
        while (newer := await auth.log_in("Grace", fresh=True)) == older:
            # Two tokens of the same second may be equal.
            await asyncio.sleep(1 - time.time() % 1)
        tickets = [await auth.create_ticket(older), await auth.create_ticket(newer)]
        refused = "POST /logout asks for a good token"
        for what, headers in (
            ("no token", None),
            ("a token that was made up", bearer("x.y.z")),
            ("a ticket as its token", bearer(await auth.create_ticket(newer))),
        ):
            await auth.answers(401, "/logout", what, headers, likely=refused)
        async with (
            auth.member("lobby", token=newer) as one,
            auth.member("lab", token=older) as two,
            auth.member("lobby", ticket=await auth.create_ticket(newer)) as three,
            auth.member("lobby", token=ada) as staying,
        ):
            response = await auth.answers(204, "/logout", "a good token", bearer(newer), likely="204, no body")
            if response.content:
                raise Failure(sent="POST /logout", got=show(response.text), expect="no body", likely="status 204")
            for what, member in (
                ("a socket of that token", one),
                ("a socket of an older token, in another room", two),
                ("a socket of a ticket", three),
            ):
                member.did = f"POST /logout of Grace, who has {what}"
                await member.is_closed(
                    4401, likely="every socket of the user is closed, whatever let it in", besides=anything
                )
            await staying.says("hello")
            staying.did = "a message of Ada, after Grace has logged out"
            await staying.gets_message("Ada", "hello", likely="the sockets of others stay")
        await self._all_refused(auth, (newer, older), tickets)
        await auth.answers(200, "/ticket", "a token of Ada", bearer(ada), likely="others stay")

    @staticmethod
    async def _all_refused(auth: AuthClient, tokens: tuple[str, ...], tickets: list[str]) -> None:
        after = "the user has logged out"
        for token in tokens:
            what = "a token from before the logout"
            await auth.refuses("/ws/lobby", what, headers=bearer(token), after=after, likely=LOGGED_OUT)
            for path in ("/ticket", "/logout"):
                await auth.answers(401, path, f"{what}, after it", bearer(token), likely=LOGGED_OUT)
        for ticket in tickets:
            what = "a ticket from before the logout"
            likely = f"check the principal again when its ticket is redeemed: {LOGGED_OUT}"
            await auth.refuses(f"/ws/lobby?ticket={ticket}", what, after=after, likely=likely)
