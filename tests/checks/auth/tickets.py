"""Step 06, TODO 3: tickets, each for one handshake within its time."""

import asyncio
import contextlib
import time

from judge.auth import KEY, KEYED, PASSWORDS, WAITS, AuthClient, Member, bearer, claims_of, elsewhere, forged
from judge.clients import ClientConnection
from judge.messages import show
from judge.model import Failure, check
from judge.subject import Subject

from .tokens import ANSWERED

TICKET_TIMES = {0.5: 0.4, 3.0: 1.6, 6.0: 3.6}
"""By the lifetime of a ticket in seconds, the age at which it must be accepted.

If a busy machine or rounding to whole seconds prevents redeeming in time, the next lifetime is tried.
"""
MANY = 12
"""The number of unused tickets of one user."""
ONLY_ONE = (
    "A new ticket ends the user's older ones, or their number is limited. Store each under the ticket itself, "
    "until it's redeemed or expires: a user opens several tabs."
)
CARRIES = (
    "The ticket stands for another user. Store the principal of the token that POST /ticket got, under the ticket."
)
LOGGED = (
    "Your code logs or prints it, perhaps with the headers or the exception of a handshake, or it's in an address that "
    "the server logs. Log the name of the user instead."
)
USED_UP = (
    "redeem() looks the ticket up, and removes it later or not at all. "
    "Remove it in the same step, with _tickets.pop(ticket, None), before any await and any other condition."
)
NOT_ISSUED = (
    "Your code accepts a ticket that isn't among the issued ones. If pop() finds nothing, raise HTTPException(401)."
)
IS_A_JWT = (
    "The ticket is a JWT like an access token, so decode() accepts it as one. "
    "Make it with secrets.token_urlsafe(32), and store the principal under it."
)
AMONG_TICKETS = (
    "Your code also looks up Authorization: Bearer among the tickets. Call redeem() for ?ticket= only, and decode() "
    "for the header only."
)
DECODES = (
    "Your code decodes ?ticket= as a token. Look it up among the issued tickets only, with _tickets.pop(ticket, None)."
)
NEEDS_TOKEN = (
    "POST /ticket issues a ticket without a valid token. Let the route depend on get_current_principal, "
    "the dependency that raises 401."
)
HEADER_ONLY = (
    "The route also accepts a token from another place than Authorization: Bearer, which a page of another site can "
    "make a browser send, or which is logged. Read it from that header only."
)
TOO_LATE = (
    "Nothing ends this ticket after TICKET_SECONDS. After storing it, add call_later(TICKET_SECONDS, _tickets.pop, "
    "ticket, None). If your code stores a deadline instead, store one for each ticket, not one for each user, and "
    "compare it with time.time() in redeem(), both unrounded."
)
TOO_EARLY = (
    "A ticket ends before TICKET_SECONDS have passed, so your code computes its end from another number. "
    "Use TICKET_SECONDS of settings.py as it is."
)
REMOVED_WITH = (
    "When a ticket expires, your code also removes the user's newer tickets. "
    "Remove only this one, TICKET_SECONDS after it was issued: call_later(TICKET_SECONDS, _tickets.pop, ticket, None)."
)
ENDS_SOCKET = (
    "The connection ends with the ticket that opened it. A ticket's time is only for the handshake: store the "
    "principal of the token as it is, and end the connection at its expires_at, the expiry of the token."
)


class Tickets:
    @check(3, "issues a ticket to a client with a valid token, and accepts it once")
    async def test_ticket(self, subject: Subject) -> None:
        # Use another server, because a token in the query must be refused here, and is in the log.
        auth = AuthClient(await subject.under(**KEYED))
        ada = await auth.log_in("Ada")
        ticket, newer = await auth.create_ticket(ada), await auth.create_ticket(ada)
        if ticket == newer or ticket == ada:
            got = "the same ticket twice" if ticket != ada else "the access token itself"
            raise Failure(
                sent="POST /ticket twice, with a valid token of Ada",
                got=got,
                expect="two different tickets",
                likely="POST /ticket returns a value that depends on the token or the user only. "
                "Return secrets.token_urlsafe(32), a new one each time.",
            )
        after = "Ada got two tickets, one after the other, and this is the first"
        async with (
            auth.member("lobby", ticket=ticket, after=after, likely=ONLY_ONE) as one,
            auth.member("lobby", ticket=newer) as two,
        ):
            await one.says("hello")
            two.did = "a message of Ada, who connected with a ticket"
            await two.gets_message("Ada", "hello", likely=CARRIES)
        ticket = await auth.create_ticket(ada)
        async with auth.member("lobby", ticket=ticket):
            what = "a ticket a second time, while the first connection is open"
            await auth.refuses(f"/ws/lobby?ticket={ticket}", what, likely=USED_UP)
        what = "a ticket a second time, after the first connection was closed"
        await auth.refuses(f"/ws/lobby?ticket={ticket}", what, likely=USED_UP)
        await self._has_many(AuthClient(subject))
        for what, value in (("an empty ticket", ""), ("a ticket that was never issued", "x" * 43)):
            await auth.refuses(f"/ws/lobby?ticket={value}", what, likely=NOT_ISSUED)
        ticket = await auth.create_ticket(ada)
        as_token = IS_A_JWT if ticket.count(".") == 2 else AMONG_TICKETS
        await auth.refuses("/ws/lobby", "a ticket as Authorization: Bearer", headers=bearer(ticket), likely=as_token)
        await auth.refuses(f"/ws/lobby?ticket={ada}", "a valid token as ?ticket=", likely=DECODES)
        for what, headers, likely in (
            ("no token", {}, NEEDS_TOKEN),
            ("a ticket as its token", bearer(await auth.create_ticket(ada)), as_token),
            ("a token that has expired", bearer(forged(ada, KEY, {"exp": 1})), NEEDS_TOKEN),
            ('a token with "aud": "mail"', bearer(forged(ada, KEY, {"aud": "mail"})), NEEDS_TOKEN),
            ("a token of a user that doesn't exist", bearer(forged(ada, KEY, {"sub": "Nobody"})), NEEDS_TOKEN),
            ("a token signed with another key", bearer(forged(ada, KEY + "x", {})), NEEDS_TOKEN),
            ("the scheme Basic and a valid token", {"Authorization": f"Basic {ada}"}, HEADER_ONLY),
        ):
            await auth.answers(401, "/ticket", what, headers, likely=likely)
        for place, (query, headers) in elsewhere(ada).items():
            if "Protocol" not in place:
                await auth.answers(401, f"/ticket{query}", f"a valid token {place}", headers, likely=HEADER_ONLY)
        form = {"token": ada, "access_token": ada}
        await auth.answers(401, "/ticket", "a valid token in a form", {}, likely=HEADER_ONLY, **form)

    @staticmethod
    async def _has_many(auth: AuthClient) -> None:
        """Check that many tickets of one user are valid, in any order, and that each stands for its own user."""
        ada, linus = await auth.log_in("Ada"), await auth.log_in("Linus")
        tickets = await asyncio.gather(*(auth.create_ticket(ada) for _ in range(MANY)))
        after = f"Ada and Linus got {MANY} unused tickets each"
        tickets += await asyncio.gather(*(auth.create_ticket(linus) for _ in range(MANY)))
        async with auth.member("lobby", token=ada) as reader:
            for place in (0, MANY, 2 * MANY - 1, MANY - 1, *range(1, MANY - 1)):
                name = "Ada" if place < MANY else "Linus"
                async with auth.member("lobby", ticket=tickets[place], after=after, likely=ONLY_ONE) as member:
                    if place in (0, MANY):
                        await member.says(f"ticket {place + 1}")
                        reader.did = f"a message of {name}, who connected with one of {2 * MANY} tickets"
                        await reader.gets_message(name, f"ticket {place + 1}", likely=CARRIES)

    @check(3, "accepts one of six handshakes with the same ticket at the same time")
    async def test_six_at_once(self, subject: Subject) -> None:
        auth = AuthClient(subject)
        ada = await auth.log_in("Ada")
        for _ in range(2):
            ticket = await auth.create_ticket(ada)
            answers = await asyncio.gather(*(subject.handshake(f"/ws/lobby?ticket={ticket}") for _ in range(6)))
            inside = [answer for answer in answers if isinstance(answer, ClientConnection)]
            await asyncio.gather(*(connection.close() for connection in inside))
            others = {answer for answer in answers if isinstance(answer, int)}
            if len(inside) != 1 or not others <= {401, 403}:
                likely = USED_UP
                if not inside:
                    likely = "All six are refused, so no ticket is ever accepted, or a second use ends the first one."
                elif len(inside) == 1:
                    likely = "A used ticket isn't answered with 401. If pop() finds nothing, raise HTTPException(401)."
                raise Failure(
                    sent="six handshakes with the same ticket at the same time",
                    got=f"{len(inside)} were accepted"
                    + (f", the others got HTTP {show(sorted(others))}" * bool(others)),
                    expect="one is accepted, five get HTTP 401 or 403",
                    likely=likely,
                    broken=500 in others,
                )

    @check(3, "accepts a ticket for TICKET_SECONDS, and refuses it after that")
    async def test_ticket_time(self, subject: Subject) -> None:
        for seconds, age in TICKET_TIMES.items():
            auth = AuthClient(await subject.under(SECRET_KEY=KEY, TICKET_SECONDS=f"{seconds:g}"))
            token = await auth.token_of("Ada", await subject.under(**KEYED))
            async with contextlib.AsyncExitStack() as stack:
                try:
                    await self._has_its_time(auth, token, seconds, age, stack)
                except _NotInTime as late:
                    if seconds == max(TICKET_TIMES):
                        raise late.failure from None
                    continue
                return

    @staticmethod
    async def _has_its_time(
        auth: AuthClient, token: str, seconds: float, age: float, stack: contextlib.AsyncExitStack
    ) -> None:
        """Check the lifetime of tickets.

        Args:
            auth: a client of a server with that lifetime.
            token: a valid token of Ada.
            seconds: the lifetime.
            age: the age at which a ticket must be accepted, in seconds.
            stack: closes the connections of this check.

        Raises:
            Failure: a ticket is accepted after its lifetime, or it ends a connection. A _NotInTime: it's refused.
        """
        settings = f"with TICKET_SECONDS={seconds:g}"

        async def enter(ticket: str, after: str, likely: str = TOO_EARLY) -> Member:
            member = auth.member("lobby", ticket=ticket, after=f"{after}, {settings}", likely=likely)
            try:
                return await stack.enter_async_context(member)
            except Failure as failure:
                raise _NotInTime(failure) from None

        start = time.monotonic()
        unused, late = await auth.create_ticket(token), await auth.create_ticket(token)
        issued = time.monotonic()
        member = await enter(await auth.create_ticket(token), "this ticket was issued immediately before")
        await asyncio.sleep(start + age - time.monotonic())
        newer = await auth.create_ticket(token)
        await enter(late, f"this ticket was issued {age:g} s before")
        # Wait until the first ticket has expired, because this check judges its lifetime.
        await asyncio.sleep(issued + seconds + 0.1 - time.monotonic())
        what = f"a ticket issued {time.monotonic() - issued:.1f} s before, {settings}"
        await auth.refuses(f"/ws/lobby?ticket={unused}", what, likely=TOO_LATE)
        after = f"an older ticket of the user has expired, and this one was issued {age:g} s after it"
        await enter(newer, after, REMOVED_WITH)
        # Wait for an endpoint that closes a connection when its ticket expires.
        await asyncio.sleep(0.5)
        what = f"a message on a connection whose ticket has expired, and whose token hasn't, {settings}"
        await member.is_open("Ada", what, likely=ENDS_SOCKET)

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
                await member.gets_message(claims_of(token)["sub"], "hello", likely=SENDER_TOO)
                await member.send("hello, which isn't JSON")
                await member.gets_error(likely=ANSWERED)
        await subject.request("GET", "/rooms/lobby/members", headers=bearer(token), likely=WAITS)
        await self._keeps_out(subject, tokens, "logins, tickets and handshakes with Authorization: Bearer and ?ticket=")
        token = tokens[0]
        ticket = await auth.create_ticket(token)
        for path, headers in (
            ("/ws/attic", bearer(token)),
            ("/ws/lobby", bearer(token) | {"Origin": "http://evil.example"}),
            ("/ws/lobby", {"Authorization": f"Basic {token}"}),
            ("/ws/lobby", bearer(token + "x")),
            (f"/ws/attic?ticket={ticket}", bearer(token)),
            (f"/ws/lobby?ticket={ticket}x", None),
        ):
            # Ignore the result: later checks judge whether the handshake is refused.
            answer = await subject.handshake(path, headers=headers)
            if isinstance(answer, ClientConnection):
                await answer.close()
        for method, path in (
            ("POST", "/ticket"),
            ("POST", "/logout"),
            ("GET", "/rooms/lobby/members"),
            ("GET", "/debug/sessions"),
            ("DELETE", "/rooms/lobby/members/Linus"),
        ):
            for sent in (f"{token}x", token) if path != "/logout" else (f"{token}x",):
                await subject.request(method, path, headers=bearer(sent), likely=WAITS)
        await auth.post("/token", username="Ada", password=f"{PASSWORDS['Ada']} ")
        after = (
            "requests and handshakes with a token for another room or member, from another origin, with another "
            "scheme, or with a character at its end, and a login with a wrong password"
        )
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


class HardTickets:
    @check(3, "accepts a ticket after nine seconds of twelve", hard=True)
    async def test_old_ticket(self, subject: Subject) -> None:
        auth = AuthClient(await subject.under(**KEYED | {"TICKET_SECONDS": "12"}))
        token = await auth.log_in("Ada")
        ticket = await auth.create_ticket(token)
        async with auth.member("lobby", ticket=await auth.create_ticket(token)) as member:
            await asyncio.sleep(9)
            after = "this ticket was issued 9 s before, with TICKET_SECONDS=12"
            async with auth.member("lobby", ticket=ticket, after=after, likely=TOO_EARLY):
                pass
            await member.is_open("Ada", "a message after 9 s of silence, with TOKEN_SECONDS=600", likely=ENDS_SOCKET)


class _NotInTime(Exception):
    """A ticket was refused during its lifetime: the machine may be busy, or the answer may round the lifetime."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(*failure.args)
        self.failure = failure


SENDER_TOO = "The sender doesn't get its own message. Send to manager.all_tabs(room_id), which includes the sender."
