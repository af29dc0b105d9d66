"""Step 06, TODO 1: names and passwords are exchanged for tokens."""

import asyncio
import json
import math
import time
from collections.abc import Coroutine, Sequence
from typing import Any

import httpx
import jwt
from judge.auth import HASHING, KEY, KEYED, PASSWORDS, WEST, AuthClient, claims_of
from judge.conversation import current
from judge.messages import show
from judge.model import Failure, check
from judge.subject import Subject
from judge.tasks import running

AS_SENT = "Look up USERS.get(form.username), and verify form.password, both as they were sent."
SAME = "Raise the same unauthorized(...) for both, in one place."
NAMES = {
    "a name with one character more": ("Ada2", "Ada."),
    "a name with one character less": ("Ad", "da"),
    "a name in full-width letters": ("\uff21da", "A\uff44a"),
    "a name with a character that isn't shown": ("Ada\u200b", "\ufeffAda"),
    "a name with a zero byte": ("Ada\x00",),
    "a name with a line end": ("Ada\n", "\r\nAda"),
    "a name with a no-break space": ("\u00a0Ada", "Ada\u00a0"),
    "a name with a password behind a separator": ("Ada:lovelace", "Ada,Grace"),
}
"""Names that no user has, by what's special about them. They cost a hash each, so there are few."""
PASSWORDS_LIKE_ADAS = {
    "a password with one character more": ("lovelace2", "lovelace."),
    "a password with one character less": ("lovelac", "ovelace"),
    "a password in upper case": ("LOVELACE",),
    "a password in full-width letters": ("".join(chr(ord(letter) + 0xFEE0) for letter in "lovelace"),),
    "a password with a zero byte": ("lovelace\x00",),
    "a password with a line end": ("lovelace\n", "\r\nlovelace"),
}
ENOUGH = 10.0
"""Seconds after which a busy machine tries no further login."""
TRIES = 8
"""Logins that must all block the event loop before it counts."""

IN_THE_LOOP = (
    "hasher.verify() runs in the event loop, so all clients wait for each hash. Call it with "
    "await run_in_threadpool(hasher.verify, ...), or in an endpoint that's a plain def."
)


class Login:
    @check(1, "exchanges a name and a password for a token")
    async def test_token(self, subject: Subject) -> None:
        keyed, west = await asyncio.gather(subject.under(**KEYED), subject.under(**WEST))
        response = await AuthClient(keyed).answer_to("Ada")
        sent = "POST /token, a form with username=Ada and password=lovelace"
        value = response.json() if response.headers.get("content-type", "").startswith("application/json") else None
        token = value.get("access_token") if isinstance(value, dict) else None
        if response.status_code != 200 or not isinstance(token, str) or not token:
            await AuthClient(keyed).log_in("Ada")
        if not isinstance(value, dict) or not isinstance(token, str) or value.get("token_type") != "bearer":
            raise Failure(
                sent=sent,
                got=f"status {response.status_code}, {show(response.text)}",
                expect='status 200 and {"access_token": "...", "token_type": "bearer"}',
                likely='The response has another token_type. Return {"access_token": ..., "token_type": "bearer"}.',
            )
        claims = claims_of(token)
        self._expires_in(600, token, "Ada", "with TOKEN_SECONDS=600", zone="JST-9", hours=9)
        try:
            # Allow 5 seconds, because two processes read the clock.
            jwt.decode(token, KEY, ["HS256"], audience="chat", options={"require": ["sub", "aud", "exp"]}, leeway=5)
        except jwt.PyJWTError as error:
            raise Failure(
                sent=sent,
                got=f"a token with the claims {show(claims)}, and PyJWT refuses it: {error}",
                expect='the claims sub, "aud": "chat" and exp, signed with SECRET_KEY and HS256',
                likely=self._why_undecodable(token, claims),
            ) from None
        older = await AuthClient(west).log_in("Ada")
        self._expires_in(600, older, "Ada", "with TOKEN_SECONDS=600", zone="EST5", hours=-5)
        for name in ("Grace", "Linus"):
            self._expires_in(
                900, await AuthClient(subject).log_in(name), name, "without TOKEN_SECONDS in the environment"
            )

    @staticmethod
    def _why_undecodable(token: str, claims: dict[str, Any]) -> str:
        """Return the mistake that makes PyJWT refuse a new token."""
        if missing := [claim for claim in ("sub", "aud", "exp") if claim not in claims]:
            return f"issue() leaves out {' and '.join(missing)}. Put it into the claims that you pass to jwt.encode()."
        if claims["aud"] != "chat":
            return f'issue() sets aud to {show(claims["aud"])}. Set "aud": "chat".'
        if not isinstance(claims["sub"], str):
            return 'issue() sets sub to a value that isn\'t a string. Set "sub": user.name.'
        algorithm = jwt.get_unverified_header(token).get("alg")
        if algorithm != "HS256":
            return f'The token says alg: {algorithm}. Pass "HS256" as the third argument of jwt.encode().'
        return "issue() signs with another key. Pass the SECRET_KEY of settings.py to jwt.encode()."

    @staticmethod
    def _expires_in(seconds: int, token: str, name: str, settings: str, *, zone: str = "", hours: int = 0) -> None:
        """Check the claim exp of a new token, with 5 seconds of tolerance.

        Args:
            seconds: the right lifetime, in seconds.
            token: the new token.
            name: the name of its user.
            settings: the settings of the server, for the message of a failure.
            zone: the time zone of the server.
            hours: how many hours its local time is ahead of UTC.
        """
        exp = claims_of(token).get("exp")
        remaining = exp - time.time() if isinstance(exp, int | float) else math.nan
        # Allow up to 10 seconds for the login itself, on a busy machine.
        early, late = 5 + HASHING, 5
        if -early < remaining - seconds < late:
            return
        got, likely = f"a token that expires {remaining:.0f} s from now", "Set exp to time.time() + TOKEN_SECONDS."
        other = likely
        if math.isnan(remaining):
            got = f"a token with the claims {show(claims_of(token))}"
            likely = "issue() sets no exp that's a number. Set it to math.ceil(time.time() + TOKEN_SECONDS)."
        elif hours and abs(abs(remaining - seconds) - abs(hours) * 3600) < 20:
            likely = (
                f"exp is off by {abs(hours)} hours, the offset of the server's local time: a datetime without a time "
                "zone is taken for the wrong zone. Use time.time(), or datetime.now(UTC)."
            )
        elif -60 * early < remaining - 60 * seconds < 60:
            likely = "exp is 60 times as far away as it should be: your code takes TOKEN_SECONDS for minutes. " + likely
        elif exp is not None and abs(exp / 1000 - time.time()) < 100 * seconds:
            likely = "exp is in milliseconds, and a JWT counts seconds. " + likely
        elif -early < remaining - 900 < late or -early < remaining - 600 < late:
            likely = "The lifetime doesn't follow the environment. Use TOKEN_SECONDS of settings.py in issue()."
        elif -early < remaining < late:
            likely = "exp is the time of the login, without the lifetime. " + likely
        elif exp is not None and abs(exp - seconds) < 2:
            likely = "exp is the lifetime, without the time of the login. " + likely
        if likely == other:
            likely = "exp isn't the time of the login plus TOKEN_SECONDS, in seconds since 1970. " + likely
        raise Failure(
            sent=f"POST /token with the name {name} and the right password, {settings}" + (zone and f" and TZ={zone}"),
            got=got,
            expect=f"a token that expires {seconds} s from now",
            likely=likely,
        )

    @check(1, "refuses unknown names and wrong passwords with the same response, after about the same time")
    async def test_refused_login(self, subject: Subject) -> None:
        auth = AuthClient(subject)
        # Unknown users first: if an answer makes one hash at a time, they must not wait for Ada's.
        cases = (
            ("Nobody", "lovelace"),
            ("ada", "lovelace"),
            (" Ada ", "lovelace"),
            ("Ada", "hopper"),
            ("Ada", "Lovelace"),
        )
        # At the same time, so that other load on the machine slows down all of them alike.
        answers = await asyncio.gather(*(self._answer(auth, *case) for case in cases))
        wrong_password = answers[3][0]
        for (name, password), (response, _) in zip(cases, answers, strict=True):
            sent = (
                f"POST /token with the name {quoted(name)} and the password {quoted(password)}, and four more with it"
            )
            got = f"status {response.status_code}, WWW-Authenticate: {response.headers.get('WWW-Authenticate')}"
            if response.status_code != 401 or not response.headers.get("WWW-Authenticate", "").startswith("Bearer"):
                raise Failure(
                    sent=sent,
                    got=got,
                    expect="status 401 and WWW-Authenticate: Bearer",
                    likely=self._why_accepted(name, password, response),
                    broken=response.status_code == 500,
                )
            if self._fingerprint(response) != self._fingerprint(wrong_password):
                raise Failure(
                    sent=sent,
                    got=f"{show(response.text)} and the headers {show(dict(response.headers))}",
                    expect=f"the same as for a wrong password of Ada: {show(wrong_password.text)}",
                    likely=f"The body or a header differs, which reveals the names of the users. {SAME}",
                )
        # Compare the fastest of each kind, because other load on the machine only makes an answer slower.
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
            # On a busy machine, the fastest of three isn't reliable yet, and an answer may make one hash at a time.
            for name in ("Ada", "Nobody"):
                _, seconds = await self._answer(auth, name, "wrong")
                fastest[name in PASSWORDS] = min(fastest[name in PASSWORDS], seconds)
        if not 0.4 < unknown / known < 2.5:
            likely = (
                "Your code verifies no hash for an unknown name, so the response time reveals the names of the users. "
                "Verify DUMMY_HASH then."
                if unknown < known
                else "Your code takes longer for an unknown name, which reveals the names of the users. Verify one "
                "hash in either case: the user's, or DUMMY_HASH."
            )
            raise Failure(
                sent="POST /token with wrong passwords, several times for Ada and for an unknown user",
                got=f"{known:.0f} ms for Ada and {unknown:.0f} ms for the unknown user, the fastest of each",
                expect="about the same time for both",
                likely=likely,
            )

    @staticmethod
    async def _answer(auth: AuthClient, name: str, password: str) -> tuple[httpx.Response, float]:
        """Return the response to a login, and its time in seconds."""
        start = time.perf_counter()
        response = await auth.post("/token", username=name, password=password)
        return response, time.perf_counter() - start

    @staticmethod
    def _why_accepted(name: str, password: str, response: httpx.Response) -> str:
        """Return the mistake if the response to a wrong login isn't a 401 with its header."""
        status = response.status_code
        if status == 401:
            return 'The 401 has no such header. Raise unauthorized(...), which adds "WWW-Authenticate": "Bearer".'
        if status != 200:
            return f"Your code answers a wrong name or password with {status}. Raise unauthorized(...), which is a 401."
        wrong, right = (password, "lovelace") if name == "Ada" else (name, "Ada")
        what = "password" if name == "Ada" else "name"
        if wrong.strip() == right:
            return f"Your code removes the blanks around the {what}. {AS_SENT}"
        if wrong.casefold() == right.casefold():
            return f"Your code ignores upper and lower case in the {what}. {AS_SENT}"
        if what == "name":
            return "Your code returns a token for an unknown name. If USERS has no such name, raise unauthorized(...)."
        return (
            "Your code returns a token after a wrong password. If hasher.verify() returns False, raise unauthorized()."
        )

    @staticmethod
    def _fingerprint(answer: httpx.Response) -> object:
        return answer.content, {name: value for name, value in answer.headers.items() if name != "date"}

    @check(1, "answers other requests while it computes a hash")
    async def test_hash_aside(self, subject: Subject) -> None:
        auth = AuthClient(subject)
        names = ["Ada", "Nobody"]
        if not any(auth.has_asked_for(name) for name in PASSWORDS):
            # Use the logins that the other checks need too. Further ones decide only if these seem to block.
            shared = [auth.answer_to(name) for name in PASSWORDS]
            if await self._held_up_by(subject, shared, hashes=len(shared) + 6) is None:
                names.remove("Ada")
        for name in names:
            for _ in range(TRIES):
                own = [auth.post("/token", username=name, password="wrong")]
                if (got := await self._held_up_by(subject, own, hashes=1)) is None:
                    # A busy machine may be late, but not each time: other checks hash too, and end before the last try.
                    break
            else:
                raise Failure(
                    sent=f"POST /token for {name}, and GET /still-there repeatedly meanwhile, {TRIES} times",
                    got=got or "",
                    expect="each GET answered within a few milliseconds",
                    likely=IN_THE_LOOP if name == "Ada" else f"For an unknown name: {IN_THE_LOOP}",
                )

    @staticmethod
    async def _held_up_by(subject: Subject, logins: list[Coroutine[Any, Any, object]], *, hashes: int) -> str | None:
        """Send GET requests while these logins run.

        Args:
            subject: the running answer.
            logins: the requests that cause the hashes.
            hashes: the maximum number of hashes in that time, including those of other checks.

        Returns:
            A summary of the responses if the logins blocked the event loop, or None.
        """
        spans: list[list[float]] = []

        async def ask() -> None:
            while True:
                spans.append([time.perf_counter(), 0])
                await subject.request("GET", "/still-there", timeout=HASHING, likely="Your code blocks the event loop.")
                spans[-1][1] = time.perf_counter()
                # Requests without a pause would slow down the logins.
                await asyncio.sleep(0.01)

        start = time.perf_counter()
        async with running(ask()), running(*logins) as waiting:
            await asyncio.gather(*waiting)
            end = time.perf_counter()
        whole = end - start
        # If the event loop makes the hashes, a response to GET arrives at best between two of them.
        waits = [(answered or end) - asked for asked, answered in spans]
        if sum(wait for wait in waits if wait > whole / (2 * hashes + 2)) <= 0.7 * whole:
            return None
        answers = "one answer" if len(waits) == 1 else f"{len(waits)} answers"
        return f"{answers} to GET in {1000 * whole:.0f} ms, one after {1000 * max(waits):.0f} ms"


def quoted(text: str) -> str:
    """Return a text in quotes, in ASCII, so that each character can be told."""
    return json.dumps(text)


class HardLogins:
    @check(1, "refuses names and passwords that are similar to right ones", hard=True)
    async def test_similar_logins(self, subject: Subject) -> None:
        auth = AuthClient(subject)
        chance = current().chance
        names = [(chance.choice(some), "lovelace", what) for what, some in NAMES.items()]
        passwords = [("Ada", chance.choice(some), what) for what, some in PASSWORDS_LIKE_ADAS.items()]
        await self._logins_are_refused(auth, [*names, *passwords])

    @staticmethod
    async def _logins_are_refused(auth: AuthClient, cases: Sequence[tuple[str, str, str]]) -> None:
        """Check that these logins are refused.

        Raises:
            Failure: one isn't.
        """
        responses: list[httpx.Response] = []
        # A few at a time, because each takes long and the client waits for a limited time.
        start = time.monotonic()
        for place in range(0, len(cases), 4):
            if time.monotonic() > start + ENOUGH:
                break
            logins = cases[place : place + 4]
            answers = (auth.post("/token", username=name, password=password) for name, password, _ in logins)
            responses += await asyncio.gather(*answers)
        for (name, password, what), response in zip(cases, responses, strict=False):
            # FastAPI treats an empty field as missing.
            if response.status_code not in (401, 422):
                how = "by a Unicode normal form" if "full-width" in what else "by removing characters, or by cutting it"
                if "upper case" in what:
                    how = "by upper or lower case"
                raise Failure(
                    sent=f"POST /token with the name {quoted(name)} and the password {quoted(password)}: {what}",
                    got=f"status {response.status_code}, {show(response.text)}",
                    expect="status 401",
                    likely=f"Your code changes the name or the password before it compares them, {how}. {AS_SENT}",
                    broken=response.status_code == 500,
                )
