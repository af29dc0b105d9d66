"""Step 06, TODO 1: names and passwords are exchanged for tokens."""

import asyncio
import math
import time
from collections.abc import Coroutine
from typing import Any

import httpx
import jwt
from judge.auth import HASHING, KEY, KEYED, PASSWORDS, AuthClient, claims_of
from judge.messages import show
from judge.model import Failure, check
from judge.subject import Subject
from judge.tasks import running


class Login:
    @check(1, "exchanges a name and a password for a token")
    async def test_token(self, subject: Subject) -> None:
        keyed = await subject.under(**KEYED)
        response = await AuthClient(keyed).answer_to("Ada")
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
            # Allow 5 seconds, because two processes read the clock.
            jwt.decode(token, KEY, ["HS256"], audience="chat", options={"require": ["sub", "aud", "exp"]}, leeway=5)
        except jwt.PyJWTError as error:
            got = f"a token with the claims {show(claims)}: {error}"
            raise Failure(sent=sent, got=got, expect=expect, likely="jwt.encode() gets all of them") from None
        self._expires_in(600, token, "Ada", "with TOKEN_SECONDS=600")
        for name in ("Grace", "Linus"):
            self._expires_in(
                900, await AuthClient(subject).log_in(name), name, "without TOKEN_SECONDS in the environment"
            )

    @staticmethod
    def _expires_in(seconds: int, token: str, name: str, settings: str) -> None:
        """Check the claim exp of a new token, with 5 seconds of tolerance."""
        exp = claims_of(token).get("exp")
        remaining = exp - time.time() if isinstance(exp, int | float) else math.nan
        # Allow up to 10 seconds for the login itself, on a busy machine.
        if not -5 - HASHING < remaining - seconds < 5:
            raise Failure(
                sent=f"POST /token with the name {name} and the right password, {settings}",
                got=f"a token that expires {remaining:.0f} s from now",
                expect=f"a token that expires {seconds} s from now",
                likely="exp isn't the current time in UTC plus TOKEN_SECONDS. Compute it from TOKEN_SECONDS.",
            )

    @check(1, "refuses unknown users and wrong passwords alike, in about the same time")
    async def test_refused_login(self, subject: Subject) -> None:
        auth = AuthClient(subject)
        # Unknown users first: if an answer makes one hash at a time, they must not wait for Ada's.
        cases = (("Nobody", "lovelace"), ("ada", "lovelace"), ("Ada", "hopper"), ("Ada", "Lovelace"))

        async def answer(name: str, password: str) -> tuple[httpx.Response, float]:
            start = time.perf_counter()
            response = await auth.post("/token", username=name, password=password)
            return response, time.perf_counter() - start

        # At the same time, so that other load on the machine slows down all of them alike.
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
            # On a busy machine, the fastest of two isn't reliable yet, and an answer may make one hash at a time.
            for name in ("Ada", "Nobody"):
                _, seconds = await answer(name, "wrong")
                fastest[name in PASSWORDS] = min(fastest[name in PASSWORDS], seconds)
        if not 0.4 < unknown / known < 2.5:
            raise Failure(
                sent="POST /token with wrong passwords, several times for Ada and for an unknown user",
                got=f"{known:.0f} ms for Ada and {unknown:.0f} ms for the unknown user, the fastest of each",
                expect="about the same time",
                likely="for an unknown name no hash is made: compare the password with DUMMY_HASH then",
            )

    @staticmethod
    def _fingerprint(answer: httpx.Response) -> object:
        return answer.content, {name: value for name, value in answer.headers.items() if name != "date"}

    @check(1, "answers others while it makes a hash")
    async def test_hash_aside(self, subject: Subject) -> None:
        auth = AuthClient(subject)
        if not any(auth.has_asked_for(name) for name in PASSWORDS):
            # Use the logins that the other checks need too. Further ones decide only if these seem to block.
            shared = [auth.answer_to(name) for name in PASSWORDS]
            if await self._held_up_by(subject, shared, hashes=len(shared) + 4) is None:
                return
        own = [auth.post("/token", username="Ada", password=f"wrong {number}") for number in range(3)]
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
            logins: the requests that cause the hashes.
            hashes: the maximum number of hashes in that time, including those of other checks.

        Returns:
            A summary of the responses if the logins blocked the event loop, or None.
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
        # If the event loop makes the hashes, a response to GET arrives at best between two of them.
        waits = [(answered or end) - asked for asked, answered in spans]
        if sum(wait for wait in waits if wait > whole / (2 * hashes + 2)) <= 0.7 * whole:
            return None
        return f"{len(waits)} answers to GET in {1000 * whole:.0f} ms, one after {1000 * max(waits):.0f} ms"
