"""Step 06, TODO 3: tickets, each for one handshake within its time."""

import asyncio
import contextlib

from judge.auth import KEY, KEYED, PASSWORDS, AuthClient, bearer, claims_of, forged
from judge.clients import ClientConnection
from judge.messages import show
from judge.model import Failure, check
from judge.subject import Subject

TICKET_TIMES = (0.5, 2.0, 8.0)
"""Ticket lifetimes in seconds. If a busy machine or rounding prevents redeeming in time, the next one is tried."""
ONLY_ONE = "A new ticket ends the user's older ones. Keep each until it's used or expires: a user opens several tabs."
LOGGED = (
    "Your code logs or prints it, perhaps with the headers or the exception of a handshake, or it's in an address that "
    "the server logs. Log the name of the user instead."
)
USED_UP = "take the ticket out of its dict with pop() before anything else is asked, and without an await in between"


class Tickets:
    @check(3, "sells a ticket to who has a token, and lets its holder in once")
    async def test_ticket(self, subject: Subject) -> None:
        # Use another server, because a token in the query must be refused here, and is in the log.
        auth = AuthClient(await subject.under(**KEYED))
        ada = await auth.log_in("Ada")
        ticket, newer = await auth.create_ticket(ada), await auth.create_ticket(ada)
        if ticket == newer or ticket == ada:
            got = "the same ticket twice" if ticket != ada else "the access token itself"
            raise Failure(
                sent="POST /ticket", got=got, expect="a new ticket", likely="secrets.token_urlsafe() each time"
            )
        after = "Ada got two tickets, one after the other, and this is the first"
        async with (
            auth.member("lobby", ticket=ticket, after=after, likely=ONLY_ONE) as one,
            auth.member("lobby", ticket=newer) as two,
        ):
            await one.says("hello")
            two.did = "a message of Ada, who came with a ticket"
            await two.gets_message("Ada", "hello", likely="a ticket stands for the user who bought it")
        ticket = await auth.create_ticket(ada)
        async with auth.member("lobby", ticket=ticket):
            await auth.refuses(f"/ws/lobby?ticket={ticket}", "a ticket for the second time", likely=USED_UP)
        await auth.refuses(f"/ws/lobby?ticket={ticket}", "a ticket that has been used", likely=USED_UP)
        for what, value in (("an empty ticket", ""), ("a ticket that nobody sold", "x" * 43)):
            await auth.refuses(f"/ws/lobby?ticket={value}", what, likely="only tickets that were sold count")
        ticket = await auth.create_ticket(ada)
        likely = "tickets and tokens are two kinds: a ticket is looked for among the tickets alone"
        await auth.refuses("/ws/lobby", "a ticket as Authorization: Bearer", headers=bearer(ticket), likely=likely)
        await auth.refuses(f"/ws/lobby?ticket={ada}", "a token as ?ticket=", likely=likely)
        for what, headers in (
            ("no token", None),
            ("a ticket as its token", bearer(await auth.create_ticket(ada))),
            ("a token that has expired", bearer(forged(ada, KEY, {"exp": 1}))),
            ("the scheme Basic", {"Authorization": f"Basic {ada}"}),
        ):
            await auth.answers(401, "/ticket", what, headers, likely="POST /ticket asks for a good token")

    @check(3, "lets in one of six who use a ticket at once")
    async def test_six_at_once(self, subject: Subject) -> None:
        auth = AuthClient(subject)
        ada = await auth.log_in("Ada")
        for _ in range(3):
            ticket = await auth.create_ticket(ada)
            answers = await asyncio.gather(*(subject.handshake(f"/ws/lobby?ticket={ticket}") for _ in range(6)))
            inside = [answer for answer in answers if isinstance(answer, ClientConnection)]
            await asyncio.gather(*(connection.close() for connection in inside))
            others = {answer for answer in answers if isinstance(answer, int)}
            if len(inside) != 1 or not others <= {401, 403}:
                raise Failure(
                    sent="six handshakes with the same ticket, at once",
                    got=f"{len(inside)} were accepted, the others got HTTP {', '.join(map(str, others))}",
                    expect="one is accepted, five get HTTP 401 or 403",
                    likely=USED_UP,
                    broken=500 in others,
                )

    @check(3, "refuses a ticket after its time")
    async def test_ticket_time(self, subject: Subject) -> None:
        for seconds in TICKET_TIMES:
            auth = AuthClient(await subject.under(SECRET_KEY=KEY, TICKET_SECONDS=f"{seconds:g}"))
            token = await self._token_of_ada(subject, auth)
            ticket = await auth.create_ticket(token)
            async with contextlib.AsyncExitStack() as stack:
                entering = auth.member("lobby", ticket=await auth.create_ticket(token))
                try:
                    member = await stack.enter_async_context(entering)
                except Failure:
                    if seconds == TICKET_TIMES[-1]:
                        raise
                    continue
                # Wait until the ticket has expired, because this check judges its lifetime.
                await asyncio.sleep(seconds + 0.1)
                await auth.refuses(
                    f"/ws/lobby?ticket={ticket}",
                    f"a ticket issued {seconds + 0.1:g} s before, with TICKET_SECONDS={seconds:g}",
                    likely="note when a ticket ends, or let loop.call_later() take it away",
                )
                # Wait for an endpoint that closes a connection when its ticket expires.
                await asyncio.sleep(0.5)
                what = "a message on a socket whose ticket has ended, and whose token has not"
                likely = "a ticket is for the handshake; its token ends the socket"
                await member.is_open("Ada", what, likely=likely)
                return

    @staticmethod
    async def _token_of_ada(subject: Subject, auth: AuthClient) -> str:
        """Return a token of the server with the same key, or a new one if it isn't accepted here."""
        token = await AuthClient(await subject.under(**KEYED)).log_in("Ada")
        if (await auth.post("/ticket", headers=bearer(token))).status_code == 200:
            return token
        return await auth.log_in("Ada")

    @check(3, "keeps tokens and passwords out of its log")
    async def test_log(self, subject: Subject) -> None:
        auth = AuthClient(subject)
        tokens = [await auth.log_in("Ada"), await auth.log_in("Grace")]
        for token in tokens:
            async with (
                auth.member("lobby", token=token),
                auth.member("lobby", ticket=await auth.create_ticket(token)) as member,
            ):
                await member.says("hello")
                await member.gets_message(claims_of(token)["sub"], "hello", likely="the sender hears itself too")
                await member.send("no JSON")
                await member.gets_error(likely="what cannot be read is answered with an error, as in step 05")
        await subject.request("GET", "/rooms/lobby/members", headers=bearer(token), likely="a route that answers")
        await self._keeps_out(subject, tokens, "logins, tickets and handshakes with Authorization: Bearer and ?ticket=")
        for token in tokens:
            ticket = await auth.create_ticket(token)
            for path, headers in (
                ("/ws/attic", bearer(token)),
                ("/ws/lobby", bearer(token) | {"Origin": "http://evil.example"}),
                ("/ws/lobby", {"Authorization": f"Basic {token}"}),
                ("/ws/lobby", bearer(token + "x")),
                (f"/ws/attic?ticket={ticket}", bearer(token)),
            ):
                # Ignore the result: later checks judge whether the handshake is refused.
                answer = await subject.handshake(path, headers=headers)
                if isinstance(answer, ClientConnection):
                    await answer.close()
            await auth.post("/ticket", headers=bearer(token + "x"))
        after = "handshakes with a token for another room, from another origin, with another scheme, or that's damaged"
        await self._keeps_out(subject, tokens, after)

    @staticmethod
    async def _keeps_out(subject: Subject, tokens: list[str], after: str) -> None:
        """Check that no token and no password is in the log.

        Raises:
            Failure: a token, a password or its hash is in the log.
        """
        log = await subject.settle()
        secrets = {"the access token": [part for token in tokens for part in token.split(".")[1:]]}
        secrets |= {"a password": list(PASSWORDS.values()), "a hash of a password": ["$argon2"]}
        for what, texts in secrets.items():
            if line := next((line for line in log.splitlines() if any(text in line for text in texts)), None):
                raise Failure(
                    after=after,
                    got=f"{what} in the server's log: {show(line)}",
                    expect="a log without it",
                    likely=LOGGED,
                )
