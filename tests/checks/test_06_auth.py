"""Step 06: the checks of the exercise."""

import asyncio
import contextlib
import math
import time
from collections.abc import Coroutine
from typing import Any

import httpx
import jwt
from judge.clients import ClientConnection, show
from judge.holders import HASHING, KEY, PASSWORDS, Door, Member, b64, bearer, claims_of, forged
from judge.members import BAD, said
from judge.model import Failure, check
from judge.subject import Subject
from judge.tasks import running, spawn, stop
from websockets import ConnectionClosed

KEYED = {
    "SECRET_KEY": KEY,
    "TOKEN_SECONDS": "600",
    "ALLOWED_ORIGINS": "https://chat.example,https://www.chat.example:8443",
}
"""Settings of a further server. Tokens for it can be forged. Grace and Linus log out there, Ada never does."""
SHORT = {"TOKEN_SECONDS": "3"}
"""Settings of a further server, whose tokens expire soon."""
TICKET_TIMES = (0.5, 2.0, 8.0)
"""Seconds. The next one is tried if a ticket couldn't be redeemed in time, on a busy machine or because of rounding."""
OWN_ORIGINS = ("http://127.0.0.1:8000", "http://localhost:8000")
FOREIGN_ORIGINS = {
    "http://127.0.0.1:8001": "another port",
    "http://127.0.0.1": "no port",
    "https://127.0.0.1:8000": "another scheme",
    "http://localhost:80": "the beginning of one that is allowed",
    "http://localhost:8000.evil.example": "one that is allowed, with something after it",
    "http://evil.localhost:8000": "another host that ends alike",
    "http://evil.example": "another host",
    "null": "what a page from a file or in a sandbox sends",
}
REFUSED = "a token counts if jwt.decode(token, SECRET_KEY, algorithms=['HS256'], audience='chat', ...) takes it"
USED_UP = "take the ticket out of its dict with pop() before anything else is asked, and without an await in between"
EXPIRES = "a time limit for each socket, up to the exp of its grant: asyncio.timeout around the loop of the endpoint"
LOGGED_OUT = "note for the user when the logout was, or a number that goes up, and put the same into each token"


class TestExercise:
    @check(1, "exchanges a name and a password for a token")
    async def test_token(self, subject: Subject) -> None:
        keyed = await subject.under(**KEYED)
        response = await Door(keyed).answer_to("Ada")
        sent = "POST /token, a form with username=Ada and password=lovelace"
        likely = 'the answer of POST /token is {"access_token": ..., "token_type": "bearer"}'
        value = response.json() if response.headers.get("content-type", "").startswith("application/json") else None
        token = value.get("access_token") if isinstance(value, dict) else None
        if response.status_code != 200 or not isinstance(token, str) or not token or value["token_type"] != "bearer":
            raise Failure(
                sent=sent,
                got=f"status {response.status_code}, {show(response.text)}",
                expect='status 200 and {"access_token": "...", "token_type": "bearer"}',
                likely=likely,
                broken=response.status_code == 500,
            )
        claims = claims_of(token)
        expect = 'the claims sub, "aud": "chat" and exp, signed with SECRET_KEY and HS256'
        try:
            # A little tolerance: two processes look at the clock.
            jwt.decode(token, KEY, ["HS256"], audience="chat", options={"require": ["sub", "aud", "exp"]}, leeway=5)
        except jwt.PyJWTError as error:
            got = f"a token with the claims {show(claims)}: {error}"
            raise Failure(sent=sent, got=got, expect=expect, likely="jwt.encode() gets all of them") from None
        self._expires_in(600, token, "Ada", "with TOKEN_SECONDS=600")
        for name in ("Grace", "Linus"):
            self._expires_in(900, await Door(subject).log_in(name), name, "without TOKEN_SECONDS in the environment")

    @staticmethod
    def _expires_in(seconds: int, token: str, name: str, settings: str) -> None:
        """Check the claim exp of a new token, with 5 seconds of tolerance."""
        exp = claims_of(token).get("exp")
        remaining = exp - time.time() if isinstance(exp, int | float) else math.nan
        # Up to 10 seconds for the login itself, on a busy machine.
        if not -5 - HASHING < remaining - seconds < 5:
            raise Failure(
                sent=f"POST /token with the name {name} and the right password, {settings}",
                got=f"a token that expires {remaining:.0f} s from now",
                expect=f"a token that expires {seconds} s from now",
                likely="exp isn't the current time in UTC plus TOKEN_SECONDS. Compute it from TOKEN_SECONDS.",
            )

    @check(1, "refuses unknown users and wrong passwords alike, in about the same time")
    async def test_refused_login(self, subject: Subject) -> None:
        door = Door(subject)
        # The unknown users first: an answer that makes one hash at a time must not let them wait for Ada's.
        cases = (("Nobody", "lovelace"), ("ada", "lovelace"), ("Ada", "hopper"), ("Ada", "Lovelace"))

        async def answer(name: str, password: str) -> tuple[httpx.Response, float]:
            start = time.perf_counter()
            response = await door.post("/token", username=name, password=password)
            return response, time.perf_counter() - start

        # At the same time, so that whatever else the machine does slows down all of them alike.
        answers = await asyncio.gather(*(answer(*case) for case in cases))
        wrong_password = answers[2][0]
        for (name, password), (response, _) in zip(cases, answers, strict=True):
            sent = f"POST /token with the name {name} and the password {password}"
            if response.status_code != 401 or not response.headers.get("WWW-Authenticate", "").startswith("Bearer"):
                raise Failure(
                    sent=sent,
                    got=f"status {response.status_code}, WWW-Authenticate: {response.headers.get('WWW-Authenticate')}",
                    expect="status 401 and WWW-Authenticate: Bearer",
                    likely='HTTPException(401, ..., headers={"WWW-Authenticate": "Bearer"}), and case counts',
                    broken=response.status_code == 500,
                )
            if self._fingerprint(response) != self._fingerprint(wrong_password):
                raise Failure(
                    sent=sent,
                    got=f"{show(response.text)} and the headers {show(dict(response.headers))}",
                    expect=f"the same as for a wrong password of Ada: {show(wrong_password.text)}",
                    likely="status, body or headers tell who is a user: raise the same exception in one place",
                )
        # The fastest of each kind, because whatever else the machine does makes an answer slower only.
        fastest = {
            is_known: min(
                seconds
                for (name, _), (_, seconds) in zip(cases, answers, strict=True)
                if (name in PASSWORDS) is is_known
            )
            for is_known in (True, False)
        }
        for _ in range(6):
            known, unknown = (1000 * fastest[is_known] for is_known in (True, False))
            if 0.6 < unknown / known < 1.6:
                break
            # On a busy machine the fastest of two says little yet, and an answer may make one hash at a time.
            for name in ("Ada", "Nobody"):
                _, seconds = await answer(name, "wrong")
                fastest[name in PASSWORDS] = min(fastest[name in PASSWORDS], seconds)
        if not 0.4 < unknown / known < 2.5:
            raise Failure(
                sent="POST /token with wrong passwords, several times for Ada and for an unknown user",
                got=f"{known:.0f} ms for Ada and {unknown:.0f} ms for the unknown user, the fastest of each",
                expect="about the same time",
                likely="for an unknown name no hash is made: compare the password with NOBODYS_HASH then",
            )

    @staticmethod
    def _fingerprint(answer: httpx.Response) -> object:
        return answer.content, {name: value for name, value in answer.headers.items() if name != "date"}

    @check(1, "answers others while it makes a hash")
    async def test_hash_aside(self, subject: Subject) -> None:
        door = Door(subject)
        if not any(door.has_asked_for(name) for name in PASSWORDS):
            # The logins that the other checks need too. Only if these look held up, further ones decide.
            shared = [door.answer_to(name) for name in PASSWORDS]
            if await self._held_up_by(subject, shared, hashes=len(shared) + 4) is None:
                return
        own = [door.post("/token", username="Ada", password=f"wrong {number}") for number in range(3)]
        if got := await self._held_up_by(subject, own, hashes=len(own)):
            raise Failure(
                sent="POST /token three times at once, and meanwhile GET /still-there again and again",
                got=got,
                expect="answers to GET as fast as ever",
                likely="the hash is made in the event loop: use a plain def endpoint, or run_in_threadpool()",
            )

    @staticmethod
    async def _held_up_by(subject: Subject, logins: list[Coroutine[Any, Any, object]], *, hashes: int) -> str | None:
        """Send GET requests while these logins run.

        Args:
            subject: the running answer.
            logins: what makes the hashes.
            hashes: the number that may be made meanwhile, with those of other checks.

        Returns:
            What came of the requests if the logins held up the event loop, or None.
        """
        spans: list[list[float]] = []

        async def ask() -> None:
            while True:
                spans.append([time.perf_counter(), 0])
                await subject.request("GET", "/still-there", timeout=HASHING, likely="something blocks the event loop")
                spans[-1][1] = time.perf_counter()
                # Requests without a pause would slow down the logins.
                await asyncio.sleep(0.01)

        start = time.perf_counter()
        async with running(ask()), running(*logins) as waiting:
            await asyncio.gather(*waiting)
            end = time.perf_counter()
        whole = end - start
        # With hashes in the event loop, an answer to GET comes at best in between two of them.
        waits = [(answered or end) - asked for asked, answered in spans]
        if sum(wait for wait in waits if wait > whole / (2 * hashes + 2)) <= 0.7 * whole:
            return None
        return f"{len(waits)} answers to GET in {1000 * whole:.0f} ms, one after {1000 * max(waits):.0f} ms"

    @check(2, "lets in who sends a good token, under the name of its user")
    async def test_let_in(self, subject: Subject) -> None:
        door = Door(subject)
        ada, grace = await door.log_in("Ada"), await door.log_in("Grace")
        likely = "the name of a socket is that of the token's user, whatever else the client says"
        async with door.member("lobby", token=ada, more="?name=Linus") as one, door.member("lobby", token=grace) as two:
            await one.says("hello", **{"from": "Linus", "name": "Linus"})
            for member in (one, two):
                member.did = "a message of Ada"
                await member.hears("Ada", "hello", likely=likely)
            await two.send({"type": "direct", "to": "Ada", "text": f"{door.mark} psst"})
            one.did = "a direct message of Grace to Ada"
            await one.hears("Grace", "psst", kind="direct", likely=likely)
            for frame in BAD[-8:]:
                await one.send(frame)
                await one.gets_error(likely="what cannot be read is answered with an error, as in step 05")

    @check(2, "refuses a handshake without a good token")
    async def test_refused(self, subject: Subject) -> None:
        door = Door(await subject.under(**KEYED))
        token = await door.log_in("Ada")
        head, claims, signature = token.split(".")
        now = int(time.time())
        none = b64({"alg": "none", "typ": "JWT"})
        grace = b64(claims_of(token) | {"sub": "Grace"})
        flipped = ("A" if signature[5] != "A" else "B").join((signature[:5], signature[6:]))
        tokens = {
            "no JWT as its token": "secret",
            "an empty token": "",
            "a token whose signature was changed": f"{head}.{claims}.{flipped}",
            "a token whose claims were changed": f"{head}.{grace}.{signature}",
            "a token without its signature": f"{head}.{claims}.",
            "a token signed with another key": forged(token, "another key, which is long enough as well", {}),
            "a token that says alg: none": f"{none}.{claims}.",
            "a token that says alg: None, with a signature": f"{b64({'alg': 'None'})}.{claims}.{signature}",
            "a token that says alg: RS256": f"{b64({'alg': 'RS256'})}.{claims}.{signature}",
            "a token that has expired": forged(token, KEY, {"exp": now - 5}),
            "a token that expires now": forged(token, KEY, {"exp": now}),
            "a token whose exp is no number": forged(token, KEY, {"exp": "tomorrow"}),
            "a token for another audience": forged(token, KEY, {"aud": "mail"}),
            "a token for chats, an audience that only begins alike": forged(token, KEY, {"aud": "chats"}),
            "a token of a user that nobody is": forged(token, KEY, {"sub": "Nobody"}),
            "a token of ada, where case counts": forged(token, KEY, {"sub": "ada"}),
            "a token whose sub is no text": forged(token, KEY, {"sub": ["Ada"]}),
            **{f"a token without {claim}": forged(token, KEY, {claim: None}) for claim in ("aud", "exp", "sub")},
        }
        likely = {
            "a token without aud": "PyJWT looks for aud if audience= is given",
            "a token without exp": 'PyJWT takes it unless told otherwise: options={"require": ["exp", "sub", "aud"]}',
            "a token without sub": 'PyJWT takes it unless told otherwise: options={"require": ["exp", "sub", "aud"]}',
            "a token for another audience": "jwt.decode() gets audience='chat'",
            "a token of a user that nobody is": "the claim sub names no user: look for it in USERS",
            "a token that says alg: none": "the algorithm is yours to say, not the token's: algorithms=['HS256']",
        }
        await door.refuses("/ws/lobby", "no token", likely="the socket does not depend on a token")
        for what, value in tokens.items():
            await door.refuses("/ws/lobby", what, headers=bearer(value), likely=likely.get(what, REFUSED))
        for scheme in ("Basic", "Token", "JWT", ""):
            headers = {"Authorization": f"{scheme} {token}".strip()}
            what = f"a good token and the scheme {scheme or 'left out'}"
            await door.refuses("/ws/lobby", what, headers=headers, likely="only the scheme Bearer is asked for")
        for name in ("token", "access_token", "ticket"):
            await door.refuses(
                f"/ws/lobby?{name}={token}",
                f"a good token as ?{name}=",
                likely="a token in the query is in every log on the way: take it from the header alone",
            )

    @check(2, "refuses the tokens of the run before, when SECRET_KEY is not set")
    async def test_run_before(self, subject: Subject) -> None:
        token = await Door(subject).log_in("Ada")
        # A second run is as good as a later one: it has a key of its own.
        await Door(await subject.under()).refuses(
            "/ws/lobby",
            "a token of another run",
            headers=bearer(token),
            likely="the key is the same at each start: without SECRET_KEY it is secrets.token_urlsafe(32)",
        )

    @check(3, "sells a ticket to who has a token, and lets its holder in once")
    async def test_ticket(self, subject: Subject) -> None:
        # Its own server, because a token in the query is meant to be refused here, and stands in the log.
        door = Door(await subject.under(**KEYED))
        ada = await door.log_in("Ada")
        ticket = await door.buy(ada)
        if ticket == await door.buy(ada) or ticket == ada:
            got = "the same ticket twice" if ticket != ada else "the access token itself"
            raise Failure(
                sent="POST /ticket", got=got, expect="a new ticket", likely="secrets.token_urlsafe() each time"
            )
        async with door.member("lobby", ticket=await door.buy(ada)) as one, door.member("lobby", token=ada) as two:
            await one.says("hello")
            two.did = "a message of Ada, who came with a ticket"
            await two.hears("Ada", "hello", likely="a ticket stands for the user who bought it")
        ticket = await door.buy(ada)
        async with door.member("lobby", ticket=ticket):
            await door.refuses(f"/ws/lobby?ticket={ticket}", "a ticket for the second time", likely=USED_UP)
        await door.refuses(f"/ws/lobby?ticket={ticket}", "a ticket that has been used", likely=USED_UP)
        for what, value in (("an empty ticket", ""), ("a ticket that nobody sold", "x" * 43)):
            await door.refuses(f"/ws/lobby?ticket={value}", what, likely="only tickets that were sold count")
        ticket = await door.buy(ada)
        likely = "tickets and tokens are two kinds: a ticket is looked for among the tickets alone"
        await door.refuses("/ws/lobby", "a ticket as Authorization: Bearer", headers=bearer(ticket), likely=likely)
        await door.refuses(f"/ws/lobby?ticket={ada}", "a token as ?ticket=", likely=likely)
        for what, headers in (
            ("no token", None),
            ("a ticket as its token", bearer(await door.buy(ada))),
            ("a token that has expired", bearer(forged(ada, KEY, {"exp": 1}))),
            ("the scheme Basic", {"Authorization": f"Basic {ada}"}),
        ):
            await self._answers(401, door, "/ticket", what, headers, likely="POST /ticket asks for a good token")

    @staticmethod
    async def _answers(
        status: int, door: Door, path: str, what: str, headers: dict[str, str] | None, *, likely: str
    ) -> httpx.Response:
        """`POST path` is answered with this status."""
        response = await door.post(path, headers=headers)
        if response.status_code != status:
            raise Failure(
                sent=f"POST {path} with {what}",
                got=f"status {response.status_code}, {show(response.text)}",
                expect=f"status {status}",
                likely=likely,
                broken=response.status_code == 500,
            )
        return response

    @check(3, "lets in one of six who use a ticket at once")
    async def test_six_at_once(self, subject: Subject) -> None:
        door = Door(subject)
        ada = await door.log_in("Ada")
        for _ in range(3):
            ticket = await door.buy(ada)
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
            door = Door(await subject.under(SECRET_KEY=KEY, TICKET_SECONDS=f"{seconds:g}"))
            token = await self._token_of_ada(subject, door)
            ticket = await door.buy(token)
            async with contextlib.AsyncExitStack() as stack:
                entering = door.member("lobby", ticket=await door.buy(token))
                try:
                    member = await stack.enter_async_context(entering)
                except Failure:
                    if seconds == TICKET_TIMES[-1]:
                        raise
                    continue
                # Its time is what is judged here, so it has to pass.
                await asyncio.sleep(seconds + 0.1)
                await door.refuses(
                    f"/ws/lobby?ticket={ticket}",
                    f"a ticket issued {seconds + 0.1:g} s before, with TICKET_SECONDS={seconds:g}",
                    likely="note when a ticket ends, or let loop.call_later() take it away",
                )
                # Time for an endpoint that ends a socket with its ticket.
                await asyncio.sleep(0.5)
                what = "a message on a socket whose ticket has ended, and whose token has not"
                likely = "a ticket is for the handshake; its token ends the socket"
                await self._is_open(door, member, what, likely=likely)
                return

    @staticmethod
    async def _token_of_ada(subject: Subject, door: Door) -> str:
        """Return a token of the server whose key this one has, or a new one if it isn't accepted here."""
        token = await Door(await subject.under(**KEYED)).log_in("Ada")
        if (await door.post("/ticket", headers=bearer(token))).status_code == 200:
            return token
        return await door.log_in("Ada")

    @check(3, "keeps tokens and passwords out of its log")
    async def test_log(self, subject: Subject) -> None:
        door = Door(subject)
        tokens = [await door.log_in("Ada"), await door.log_in("Grace")]
        for token in tokens:
            async with (
                door.member("lobby", token=token),
                door.member("lobby", ticket=await door.buy(token)) as member,
            ):
                await member.says("hello")
                await member.hears(claims_of(token)["sub"], "hello", likely="the sender hears itself too")
                await member.send("no JSON")
                await member.gets_error(likely="what cannot be read is answered with an error, as in step 05")
        await subject.request("GET", "/rooms/lobby/members", headers=bearer(token), likely="a route that answers")
        log = await subject.settle()
        secrets = {"the access token": [part for token in tokens for part in token.split(".")[1:]]}
        secrets |= {"a password": list(PASSWORDS.values()), "a hash of a password": ["$argon2"]}
        for what, texts in secrets.items():
            if line := next((line for line in log.splitlines() if any(text in line for text in texts)), None):
                raise Failure(
                    after="logins, tickets and handshakes with Authorization: Bearer and with ?ticket=",
                    got=f"{what} in the server's log: {show(line)}",
                    expect="a log without it",
                    likely="it is printed or logged, or stands in an address",
                )

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

    @check(5, "refuses a foreign origin, whatever the client holds")
    async def test_origins(self, subject: Subject) -> None:
        door = Door(subject)
        token = await door.log_in("Ada")
        whole = "compare the whole header with each of ALLOWED_ORIGINS: origin in ALLOWED_ORIGINS"
        for origin in OWN_ORIGINS:
            async with (
                door.member("lobby", token=token, origin=origin),
                door.member("lobby", ticket=await door.buy(token), origin=origin),
            ):
                pass
        for origin, what in FOREIGN_ORIGINS.items():
            for held, query, headers in (
                ("token", "", bearer(token)),
                ("ticket", f"?ticket={await door.buy(token)}", {}),
            ):
                await door.refuses(
                    f"/ws/lobby{query}",
                    f"a good {held} and Origin: {origin}, {what}",
                    headers={**headers, "Origin": origin},
                    statuses=(403,),
                    likely=whole,
                )

    @check(5, "takes the origins from ALLOWED_ORIGINS")
    async def test_other_origins(self, subject: Subject) -> None:
        door = Door(await subject.under(**KEYED))
        token = await door.log_in("Ada")
        for origin in KEYED["ALLOWED_ORIGINS"].split(","):
            async with door.member("lobby", token=token, origin=origin):
                pass
        for origin in (*OWN_ORIGINS, KEYED["ALLOWED_ORIGINS"], "https://chat.example:8443", "https://chat"):
            await door.refuses(
                "/ws/lobby",
                f"a good token and Origin: {origin}, with ALLOWED_ORIGINS={KEYED['ALLOWED_ORIGINS']}",
                headers=bearer(token) | {"Origin": origin},
                statuses=(403,),
                likely="ALLOWED_ORIGINS is a list with commas, and none but those are allowed",
            )
        async with door.member("lobby", token=token):
            pass

    @check(6, "closes a socket with 4401 when its token expires")
    async def test_expires(self, subject: Subject) -> None:
        for seconds in (0.3, 1.0, 3.0):
            door = Door(await subject.under(**KEYED))
            if (ended := await self._forged_expires(door, seconds)) is not None:
                break
        if ended:
            return
        # An answer may know its tokens by more than their claims, so tokens that it has made itself decide.
        door = Door(await subject.under(**SHORT))
        # Again where the machine was too busy to look before something had expired.
        for _ in range(3):
            if await self._saw_it_expire(door):
                break

    async def _forged_expires(self, door: Door, seconds: float) -> bool | None:
        """Open sockets with a token that's forged to expire soon, and its tickets.

        Args:
            door: of the server that tokens can be forged for.
            seconds: the shortest life of the token.

        Returns:
            Whether all is as it should be, or None if the machine was too slow for that life.
        """
        newer = await door.log_in("Ada")
        end = math.ceil(time.time() + seconds)
        token = forged(newer, KEY, {"exp": end})
        async with contextlib.AsyncExitStack() as stack:

            async def enter(**how: str) -> Member:
                return await stack.enter_async_context(door.member("lobby", **how))

            try:
                one, two, unused = await asyncio.gather(*(door.buy(token) for _ in range(3)))
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
                await self._are_refused(door, token, unused)
                await self._is_open(door, staying, "a message", likely=EXPIRES)
            except Failure:
                return False
        return True

    async def _saw_it_expire(self, door: Door) -> bool:
        """Open sockets with a token and its tickets, and one with a newer token; whether all was seen in time.

        Raises:
            Failure: one of them is closed too early, too late or otherwise.
        """
        token = await door.log_in("Ada", anew=True)
        end = float(claims_of(token)["exp"])
        unused = [await door.buy(token) for _ in range(3)]
        async with contextlib.AsyncExitStack() as stack:

            async def enter(**how: str) -> Member:
                return await stack.enter_async_context(door.member("lobby", **how))

            members = {
                "silent, opened with its token": await enter(token=token),
                "silent, opened with a ticket": await enter(ticket=unused.pop()),
                "talking, opened with its token": await enter(token=token),
                "talking, opened with a ticket": await enter(ticket=await door.buy(token)),
            }

            async def enter_anew() -> tuple[Member, float, asyncio.Task[float]]:
                # Two tokens of one second may be the same one.
                await asyncio.sleep(end - time.time() - 1.3)
                newer = await door.log_in("Ada", anew=True)
                member = await enter(token=newer)
                closes = spawn(_closed_at(member))
                stack.callback(closes.cancel)
                return member, float(claims_of(newer)["exp"]), closes

            entering = spawn(enter_anew())
            stack.callback(entering.cancel)
            # So late that it would be closed too late if its time began anew.
            await asyncio.sleep(end - time.time() - 0.5)
            saw_all = True
            for how in ("used", "bought"):
                try:
                    ticket = unused.pop() if how == "used" else await door.buy(token)
                except Failure:
                    if time.time() < end:
                        raise
                    saw_all = False
                    break
                answer = await door.subject.handshake(f"/ws/lobby?ticket={ticket}")
                if isinstance(answer, ClientConnection):
                    stack.push_async_callback(answer.close)
                    member = Member(answer, door.subject.patience, door.mark)
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
                await self._is_open(door, staying, what, likely=EXPIRES)
        await self._are_refused(door, token, unused[0])
        return saw_all

    @staticmethod
    async def _are_refused(door: Door, token: str, ticket: str) -> None:
        """A token that has expired and its unused ticket are refused."""
        for what, path, headers in (
            ("a ticket that was not used, of a token that has expired", f"/ws/lobby?ticket={ticket}", None),
            ("a token that has expired", "/ws/lobby", bearer(token)),
        ):
            after = "the token had expired"
            await door.refuses(path, what, headers=headers, after=after, likely="a ticket ends with its token")

    @staticmethod
    async def _is_open(door: Door, member: Member, what: str, *, likely: str) -> None:
        """It is told its own message."""
        await member.says("hello")
        member.did = what
        # What others said came first.
        while await member.next_object(expect="its own message", likely=likely) != said("Ada", f"{door.mark} hello"):
            pass

    @staticmethod
    async def _closes(how: str, member: Member, end: float) -> None:
        """The socket is closed with 4401 within two seconds after the end of its token, and not before."""
        talking = how.startswith("talking")
        # Who closes when the token expires has two seconds in hand on a busy machine.
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
        # A tenth of a second, because two processes look at the clock.
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

    @check(7, "tells a new login from an old one, in the same second too")
    async def test_same_second(self, subject: Subject) -> None:
        # A user that the other checks on this server don't have.
        door = Door(await subject.under(**KEYED))

        # All checks log in first, and until then nothing is done within a second.
        await asyncio.sleep(0.3)
        took = 0.2
        for _ in range(3):
            # The token is issued early in a second, so that a hash more has its place in there.
            await asyncio.sleep((0.15 - took - time.time()) % 1)
            start = time.time()
            token = await door.log_in("Linus", anew=True)
            issued = time.time()
            took = issued - start
            token = await self._logs_out_and_in(door, token, "a logout and a login right after a login")
            # The answer to the login takes a few hundredths of a second at most, unless the machine is busy.
            if int(issued - 0.05) == int(time.time()):
                return
        # Without the login before, where a hash takes much of a second.
        second = int(issued)
        for _ in range(4):
            if int(time.time()) == second:
                return
            await asyncio.sleep(1 - time.time() % 1)
            second = int(time.time())
            token = await self._logs_out_and_in(door, token, "a logout and a login, in one second")

    @staticmethod
    async def _logs_out_and_in(door: Door, token: str, after: str) -> str:
        """The token is refused after the logout, and the one that is given next is not."""
        await TestExercise._answers(204, door, "/logout", "a good token", bearer(token), likely="204, no body")
        new = await door.log_in("Linus", anew=True)
        answer = await door.subject.handshake("/ws/lobby", headers=bearer(new))
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
        await door.refuses(
            "/ws/lobby",
            "a token from before the logout",
            headers=bearer(token),
            after=after,
            likely=f"what is noted must not be in whole seconds: {LOGGED_OUT}",
        )
        return new

    @check(7, "logs a user out, everywhere and at once")
    async def test_logout(self, subject: Subject) -> None:
        door = Door(await subject.under(**KEYED))
        ada = await door.log_in("Ada")
        older = await door.log_in("Grace", anew=True)
        while (newer := await door.log_in("Grace", anew=True)) == older:
            # Two tokens of one second may be the same one.
            await asyncio.sleep(1 - time.time() % 1)
        tickets = [await door.buy(older), await door.buy(newer)]
        refused = "POST /logout asks for a good token"
        for what, headers in (
            ("no token", None),
            ("a token that was made up", bearer("x.y.z")),
            ("a ticket as its token", bearer(await door.buy(newer))),
        ):
            await self._answers(401, door, "/logout", what, headers, likely=refused)
        async with (
            door.member("lobby", token=newer) as one,
            door.member("lab", token=older) as two,
            door.member("lobby", ticket=await door.buy(newer)) as three,
            door.member("lobby", token=ada) as staying,
        ):
            response = await self._answers(204, door, "/logout", "a good token", bearer(newer), likely="204, no body")
            if response.content:
                raise Failure(sent="POST /logout", got=show(response.text), expect="no body", likely="status 204")
            for what, member in (
                ("a socket of that token", one),
                ("a socket of an older token, in another room", two),
                ("a socket of a ticket", three),
            ):
                member.did = f"POST /logout of Grace, who has {what}"
                await member.is_closed(4401, likely="every socket of the user is closed, whatever let it in")
            await staying.says("hello")
            staying.did = "a message of Ada, after Grace has logged out"
            await staying.hears("Ada", "hello", likely="the sockets of others stay")
        await self._all_refused(door, (newer, older), tickets)
        await self._answers(200, door, "/ticket", "a token of Ada", bearer(ada), likely="others stay")

    @staticmethod
    async def _all_refused(door: Door, tokens: tuple[str, ...], tickets: list[str]) -> None:
        after = "the user has logged out"
        for token in tokens:
            what = "a token from before the logout"
            await door.refuses("/ws/lobby", what, headers=bearer(token), after=after, likely=LOGGED_OUT)
            for path in ("/ticket", "/logout"):
                await TestExercise._answers(401, door, path, f"{what}, after it", bearer(token), likely=LOGGED_OUT)
        for ticket in tickets:
            what = "a ticket from before the logout"
            likely = f"look at the grant again when its ticket is used: {LOGGED_OUT}"
            await door.refuses(f"/ws/lobby?ticket={ticket}", what, after=after, likely=likely)


async def _closed_at(member: Member) -> float:
    """Read on until the connection is closed; when that was, in seconds of `time.time()`."""
    with contextlib.suppress(ConnectionClosed):
        await _read(member)
    return time.time()


async def _read(member: Member) -> None:
    """Read on, so that nothing fills up."""
    async for _ in member.connection:
        pass
