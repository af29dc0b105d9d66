"""Clients with a token or a ticket, in step 06: their requests, connections and messages."""

import asyncio
import base64
import itertools
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import httpx
import jwt

from .clients import Client, ClientConnection
from .members import said
from .messages import parsed, show
from .model import Failure, Likely
from .subject import Subject

PASSWORDS = {"Ada": "lovelace", "Grace": "hopper", "Linus": "torvalds"}
HASHING = 20.0
"""Seconds for a login: several hashes are computed at the same time, perhaps on a busy machine."""
KEY = "a key for the checks, long enough for HS256"
"""SECRET_KEY of servers whose tokens the checks and the tests of the lesson forge."""
KEYED = {
    "SECRET_KEY": KEY,
    "TOKEN_SECONDS": "600",
    "ALLOWED_ORIGINS": "https://chat.example,https://www.chat.example:8443",
    "TZ": "JST-9",
}
"""Settings of a further server, whose tokens can be forged. Grace and Linus log out there, but Ada never does.

Its local time is nine hours ahead of UTC.
"""
WEST = KEYED | {"TICKET_SECONDS": "29", "TZ": "EST5"}
"""Settings of another such server, whose lists of members are checked. Its local time is five hours behind UTC."""
WAITS = "The route waits for something, or blocks the event loop. Look for the call that takes long."
"""The likely mistake if a route doesn't answer."""
NOTICES = ("members", "joined", "left")

_marks = itertools.count(1)


def bearer(token: str) -> dict[str, str]:
    """Return the header with a token."""
    return {"Authorization": f"Bearer {token}"}


def claims_of(token: str) -> dict[str, Any]:
    """Return the claims of a token, without verifying it.

    Raises:
        Failure: it isn't a JWT.
    """
    try:
        return jwt.decode(token, options={"verify_signature": False})
    except jwt.PyJWTError as error:
        raise Failure(
            sent="POST /token with Ada's password",
            got=f"an access_token that isn't a JWT: {error}",
            expect="a JWT with the claims sub, aud and exp",
            likely="Your code returns another string as the token. Return jwt.encode({...}, SECRET_KEY, 'HS256').",
        ) from None


class Member(Client):
    """A client in a room that other checks use too: it skips messages of other checks."""

    def __init__(self, connection: ClientConnection, patience: float, mark: str, who: str | None = None) -> None:
        # Omit the path: other tokens may be accepted for the same one.
        super().__init__(connection, patience, who)
        self.mark = mark

    async def _receive(self) -> str | bytes:
        """Return the next message that's neither a notice nor from another check."""
        while True:
            frame = await super()._receive()
            value = parsed(frame) if isinstance(frame, str) else None
            if not isinstance(value, dict):
                return frame
            text = value.get("text")
            elsewhere = isinstance(text, str) and not text.startswith(self.mark)
            if value.get("type") not in NOTICES and not elsewhere:
                return frame

    async def says(self, text: str, **extra: object) -> None:
        """Send a message to the room."""
        await self.send({"type": "message", "text": f"{self.mark} {text}", **extra})

    async def gets_message(self, sender: str, text: str, *, kind: str = "message", likely: str | Likely) -> None:
        """Check that the next message is this one.

        Raises:
            Failure: it's another one, or none arrives.
        """
        await self.gets({"type": kind, "from": sender, "text": f"{self.mark} {text}"}, likely=likely)

    async def is_open(self, name: str, what: str, *, likely: str | Likely) -> None:
        """Send a message, and wait until it arrives.

        Args:
            name: the member's name.
            what: the sent message, for the message of a failure.
            likely: the mistake, if it doesn't arrive.

        Raises:
            Failure: it doesn't arrive.
        """
        await self.says("hello")
        self.did = what
        # Messages of other members may arrive before it.
        while await self.next_object(expect="its own message", likely=likely) != said(name, f"{self.mark} hello"):
            pass


class AuthClient:
    """Requests and connections with credentials, for one check.

    Args:
        subject: the running answer.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.mark = f"[{next(_marks)}]"
        """The start of every text of this check, because all checks share the rooms lobby and lab."""

    async def post(self, path: str, *, headers: dict[str, str] | None = None, **form: str) -> httpx.Response:
        """Send `POST path`, with the fields of a form if there are any."""
        return await self.subject.request(
            "POST",
            path,
            likely="Your endpoint waits for something, or it blocks the event loop. Look for the call that takes long.",
            kept=True,
            timeout=HASHING,
            headers=headers,
            data=form or None,
        )

    async def answers(
        self,
        status: int,
        path: str,
        what: str,
        headers: dict[str, str] | None,
        *,
        after: str | None = None,
        likely: str,
        **form: str,
    ) -> httpx.Response:
        """Send `POST path`, and check the status of the answer.

        Args:
            status: the right status.
            path: the path.
            what: the client's credentials, for the message of a failure.
            headers: the headers of the request.
            after: the event before, for the message of a failure.
            likely: the mistake, if the status differs.
            form: the fields of a form.

        Returns:
            The answer.

        Raises:
            Failure: the status differs.
        """
        response = await self.post(path, headers=headers, **form)
        if response.status_code != status:
            if response.status_code in (404, 405):
                likely = f"No route of your app answers POST {path}. Declare it, with @router.post({show(path)})."
            raise Failure(
                sent=f"POST {path.partition('?')[0]} with {what}",
                after=after,
                got=f"status {response.status_code}, {show(response.text)}",
                expect=f"status {status}",
                likely=likely,
                broken=response.status_code == 500,
            )
        return response

    def has_asked_for(self, name: str) -> bool:
        """Return whether a check has called `answer_to` with this name."""
        return self.subject.shares(("login", name))

    async def answer_to(self, name: str) -> httpx.Response:
        """Return the response to this user's `POST /token`. All checks of a server share it: a hash takes long."""
        return await self.subject.share(
            ("login", name), lambda: self.post("/token", username=name, password=PASSWORDS[name])
        )

    async def log_in(self, name: str, *, fresh: bool = False) -> str:
        """Return a token of this user.

        Args:
            name: the user's name.
            fresh: whether to get a token that no other check has.

        Raises:
            Failure: the server returns none.
        """
        if fresh:
            response = await self.post("/token", username=name, password=PASSWORDS[name])
        else:
            response = await self.answer_to(name)
        return self._field(response, "access_token", f"POST /token with the name {name} and the right password")

    async def token_of(self, name: str, other: Subject) -> str:
        """Return a token that another server with the same key has issued, or a new one if it isn't accepted here.

        A hash takes long, so checks with a server of their own share the tokens of another one.

        Args:
            name: the user's name.
            other: the server with the same key.

        Raises:
            Failure: a server returns none.
        """
        token = await AuthClient(other).log_in(name)
        accepted = (await self.post("/ticket", headers=bearer(token))).status_code == 200
        return token if accepted else await self.log_in(name)

    async def issued_earlier(self, token: str, *seconds: int) -> list[str]:
        """Forge tokens like this one, as if they had been issued earlier: a hash takes long.

        Args:
            token: a token that a server with the key of `KEYED` has issued.
            seconds: how much earlier, in seconds, for each of the tokens to return.

        Returns:
            The tokens; none if an answer has a claim of its own, or refuses one: it may know the tokens it has issued.
        """
        claims = claims_of(token)
        times = {name: value for name in ("exp", "iat", "nbf") if isinstance(value := claims.get(name), int | float)}
        if claims.keys() - times.keys() - {"sub", "aud", "iss"}:
            return []
        tokens = [forged(token, KEY, {name: value - each for name, value in times.items()}) for each in seconds]
        for each in tokens:
            if (await self.post("/ticket", headers=bearer(each))).status_code != 200:
                return []
        return tokens

    async def create_ticket(self, token: str) -> str:
        """Return a ticket for the user of this token.

        Raises:
            Failure: the server returns none.
        """
        response = await self.post("/ticket", headers=bearer(token))
        return self._field(response, "ticket", "POST /ticket with a valid token as Authorization: Bearer")

    async def leaves_the_list(
        self, name: str, room: str, token: str, *, after: str, likely: str, seconds: float = 0, log_in: str = ""
    ) -> None:
        """Check that a name leaves the list of a room within the patience.

        Args:
            name: the name.
            room: the room.
            token: the token of a user who may read there.
            after: the event before, for the message of a failure.
            likely: the mistake, if the name stays.
            seconds: how much longer than the patience it may stay.
            log_in: the user to log in again if the token expires meanwhile; by default, none.

        Raises:
            Failure: the name is still on the list.
        """
        path, start = f"/rooms/{room}/members", time.monotonic()
        while True:
            response = await self.subject.request("GET", path, headers=bearer(token), kept=True, likely=WAITS)
            if response.status_code == 401 and log_in:
                token = await self.log_in(log_in, fresh=True)
            elif name not in response.text:
                return
            elif time.monotonic() > start + seconds + self.subject.patience:
                raise Failure(
                    sent=f"GET {path} for {time.monotonic() - start:.1f} s, with a valid token",
                    after=after,
                    got=show(response.text),
                    expect=f"a list without {name}",
                    likely=likely,
                )
            else:
                await asyncio.sleep(0.05)

    @staticmethod
    def _field(response: httpx.Response, field: str, sent: str) -> str:
        value = parsed(response.text)
        found = value.get(field) if isinstance(value, dict) else None
        status = response.status_code
        if status != 200 or not isinstance(found, str) or not found:
            path = "/" + sent.split("/", 1)[1].split()[0]
            if status in (404, 405):
                likely = f"No route of your app answers POST {path}. Declare it, with @router.post({show(path)})."
            elif status == 401 and field == "ticket":
                likely = (
                    "Your code refuses a token that it has issued itself. Look at what decode() returns, and at the "
                    "errors that it catches: it decodes with the same key, algorithm, audience and claims as issue()."
                )
            elif status == 401:
                likely = (
                    "Your code refuses a right password. Compare it with the user's own hash: "
                    "hasher.verify(form.password, user.password_hash)."
                )
            elif status == 422:
                likely = (
                    "FastAPI finds a parameter missing or wrong. POST /token takes a form, not JSON: declare "
                    "form: LoginForm."
                    if field == "access_token"
                    else "FastAPI finds a parameter missing or wrong. POST /ticket needs only its header."
                )
            elif status == 200:
                wrong = "an empty string" if found == "" else "another object"
                likely = f"Your code returns {wrong}. Return {{{show(field)}: ...}}."
            else:
                likely = f"Your code answers a valid request with {status}. Return {{{show(field)}: ...}}."
            raise Failure(
                sent=sent,
                got=f"status {response.status_code}, {show(response.text)}",
                expect=f'status 200 and {{"{field}": "..."}}',
                likely=likely,
                broken=response.status_code == 500,
            )
        return found

    @asynccontextmanager
    async def member(
        self,
        room: str,
        *,
        token: str | None = None,
        ticket: str | None = None,
        origin: str | None = None,
        headers: dict[str, str] | None = None,
        more: str = "",
        after: str | None = None,
        likely: str = "",
    ) -> AsyncIterator[Member]:
        """Connect a member with a token or a ticket, which must be accepted.

        Args:
            room: the room.
            token: sent as `Authorization: Bearer`.
            ticket: sent as `?ticket=`.
            origin: sent as `Origin`.
            headers: further headers.
            more: the rest of the query.
            after: the event before, for the message of a failure.
            likely: the mistake, if the handshake is refused.
        """
        path = f"/ws/{room}" + (f"?ticket={ticket}" if ticket else "") + more
        sent = (bearer(token) if token else {}) | ({"Origin": origin} if origin else {}) | (headers or {})
        async with AsyncExitStack() as stack:
            try:
                client = await stack.enter_async_context(self.subject.client(path, headers=sent))
            except Failure as failure:
                failure.after = after
                scheme = sent.get("Authorization", "").partition(" ")[0]
                failure.sent = f"a handshake for /ws/{room} with a valid {'ticket' if ticket else 'token'}"
                if scheme not in ("", "Bearer"):
                    failure.sent += f" and the scheme {scheme}"
                if origin:
                    failure.sent += f" and Origin: {origin}"
                if failure.got in ("HTTP 401", "HTTP 403"):
                    # The probe of `why_refused` has no credentials, so it finds another cause if they're refused.
                    found = failure.likely if failure.got == "HTTP 403" and " raises " in failure.likely else ""
                    what, source = ("ticket", "redeem()") if ticket else ("token", "decode()")
                    default = f"Your code refuses a valid {what}: {source}, or a condition in authenticate_socket."
                    failure.likely = likely or found or default
                    if token and found and not origin and await self._accepts_with_origin(path, sent):
                        failure.sent += ", without an Origin"
                        failure.likely = no_origin(found)
                raise
            # Replace the client with the member, so only one of the two reads the connection.
            client.conversation.clients.remove(client)
            member = Member(client.connection, client.patience, self.mark, client.who)
            try:
                yield member
            finally:
                await member.end()

    async def _accepts_with_origin(self, path: str, headers: dict[str, str]) -> bool:
        """Return whether a handshake is accepted with an allowed origin, to explain one without an Origin."""
        for origin in ("http://127.0.0.1:8000", KEYED["ALLOWED_ORIGINS"].partition(",")[0]):
            answer = await self.subject.handshake(path, headers=headers | {"Origin": origin})
            if isinstance(answer, ClientConnection):
                await answer.close()
                return True
        return False

    async def refuses(
        self,
        path: str,
        what: str,
        *,
        headers: dict[str, str] | None = None,
        statuses: tuple[int, ...] = (401, 403),
        after: str | None = None,
        likely: str,
    ) -> None:
        """Check that a handshake is refused.

        Args:
            path: the path of the connection, with its query.
            what: the client's credentials, for the message of a failure.
            headers: the headers of the handshake.
            statuses: the right statuses.
            after: the event before, for the message of a failure.
            likely: the mistake, if it isn't refused.

        Raises:
            Failure: it isn't, or with another status.
        """
        try:
            answer = await self.subject.handshake(path, headers=headers)
        except Failure as failure:
            # The library of this client raises an error if the server accepts a subprotocol that's only in a header.
            if "subprotocol" not in failure.got:
                raise
            failure.sent, failure.after = f"a handshake for {path.partition('?')[0]} with {what}", after
            failure.got, failure.likely, failure.broken = "the connection accepted", likely, False
            failure.expect = f"HTTP {' or '.join(map(str, statuses))}"
            raise
        if answer in statuses:
            return
        if not isinstance(answer, int):
            got = "the connection accepted"
            try:
                async with asyncio.timeout(min(self.subject.patience, 1)):
                    got += f", and {show(await answer.recv())}"
            except (TimeoutError, OSError, EOFError):
                pass
            except Exception:
                got += f", and then closed, code {answer.close_code}"
                likely = (
                    "Your code accepts the handshake and closes the connection afterwards. "
                    "Refuse it before accept: raise HTTPException in the dependency."
                )
            await answer.close()
        else:
            got = f"HTTP {answer}"
            if answer == 500:
                likely = (
                    "An exception leaves your code. Catch it where you decode the token, and raise HTTPException(401)."
                )
            elif answer == 401:
                likely = (
                    "Your code refuses the valid token or ticket itself, with 401, so it's rejected for another reason "
                    "than the tested one. Look up why decode() or redeem() returns None for it."
                )
        raise Failure(
            sent=f"a handshake for {path.partition('?')[0]} with {what}",
            after=after,
            got=got,
            expect=f"HTTP {' or '.join(map(str, statuses))}",
            likely=likely,
            broken=answer == 500,
        )


def no_origin(found: str) -> str:
    """Explain the refusal of a handshake that has no Origin.

    Args:
        found: another explanation, which names the line.
    """
    place = re.search(r" in \S+\.py:\d+", found)
    return (
        f"Your code refuses this handshake{place[0] if place else ''} because it has no Origin. "
        "A client that isn't a browser sends none: compare it only if it isn't None."
    )


def elsewhere(token: str) -> dict[str, tuple[str, dict[str, str]]]:
    """Return the query and the headers of requests with a token in a place where it isn't accepted, by the place.

    Args:
        token: a valid token.
    """
    names = ("token", "access_token", "accessToken", "auth", "authorization", "Authorization", "bearer", "jwt", "key")
    plain = {"Ada": token, "session": token} | dict.fromkeys(names, token)
    prefixed = dict.fromkeys(names, f"Bearer {token}")
    headers = ("X-Access-Token", "X-Auth-Token", "X-Authorization", "X-Token", "X-API-Key", "Proxy-Authorization")
    return {
        "in the query, as ?token=, ?access_token= and similar": ("?" + urlencode(plain), {}),
        "in the query, after Bearer, as ?authorization= and similar": ("?" + urlencode(prefixed), {}),
        "in a cookie": ("", {"Cookie": "; ".join(f"{name}={value}" for name, value in plain.items())}),
        "in a cookie, after Bearer": ("", {"Cookie": "; ".join(f'{name}="{each}"' for name, each in prefixed.items())}),
        "in other headers, such as X-Access-Token": ("", dict.fromkeys(headers, token)),
        "in other headers, after Bearer, such as X-Authorization": ("", dict.fromkeys(headers, f"Bearer {token}")),
        "in Sec-WebSocket-Protocol": ("", {"Sec-WebSocket-Protocol": f"chat, {token}"}),
        "in Sec-WebSocket-Protocol, after bearer": ("", {"Sec-WebSocket-Protocol": f"bearer, {token}"}),
        "in Sec-WebSocket-Protocol, after access_token": ("", {"Sec-WebSocket-Protocol": f"access_token, {token}"}),
        "in Sec-WebSocket-Protocol, alone": ("", {"Sec-WebSocket-Protocol": token}),
    }


def b64(value: object) -> str:
    """Return a value, encoded as a part of a JWT."""
    text = value if isinstance(value, str) else json.dumps(value)
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def forged(token: str, key: str, changes: dict[str, Any]) -> str:
    """Return a token like this one, signed with a key, with other claims; None removes a claim."""
    claims = claims_of(token) | changes
    claims = {claim: value for claim, value in claims.items() if value is not None}
    # Don't use jwt.encode(): it refuses some of the claims to try.
    return jwt.api_jws.PyJWS().encode(json.dumps(claims).encode(), key, "HS256")
