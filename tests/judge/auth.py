"""Clients with a token or a ticket, in step 06: their requests, connections and messages."""

import asyncio
import base64
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import jwt

from .clients import Client, ClientConnection
from .members import said
from .messages import parsed, show
from .model import Failure, Likely
from .subject import Subject

PASSWORDS = {"Ada": "lovelace", "Grace": "hopper", "Linus": "torvalds"}
HASHING = 10.0
"""Seconds for a login: several hashes are computed at the same time, perhaps on a busy machine."""
KEY = "a key for the checks, long enough for HS256"
"""SECRET_KEY of servers whose tokens the checks and the tests of the lesson forge."""
KEYED = {
    "SECRET_KEY": KEY,
    "TOKEN_SECONDS": "600",
    "ALLOWED_ORIGINS": "https://chat.example,https://www.chat.example:8443",
}
"""Settings of a further server, whose tokens can be forged. Grace and Linus log out there, but Ada never does."""
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
            got=f"an access_token that is no JWT: {error}",
            expect="a JWT with sub, aud and exp",
            likely="jwt.encode({...}, SECRET_KEY, algorithm='HS256') makes one",
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

    async def is_open(self, name: str, what: str, *, likely: str) -> None:
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
            likely=f"an endpoint for POST {path} that answers",
            timeout=HASHING,
            headers=headers,
            data=form or None,
        )

    async def answers(
        self, status: int, path: str, what: str, headers: dict[str, str] | None, *, likely: str
    ) -> httpx.Response:
        """Send `POST path`, and check the status of the answer.

        Args:
            status: the right status.
            path: the path.
            what: the client's credentials, for the message of a failure.
            headers: the headers of the request.
            likely: the mistake, if the status differs.

        Returns:
            The answer.

        Raises:
            Failure: the status differs.
        """
        response = await self.post(path, headers=headers)
        if response.status_code != status:
            raise Failure(
                sent=f"POST {path} with {what}",
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

    async def create_ticket(self, token: str) -> str:
        """Return a ticket for the user of this token.

        Raises:
            Failure: the server returns none.
        """
        response = await self.post("/ticket", headers=bearer(token))
        return self._field(response, "ticket", "POST /ticket with a good token as Authorization: Bearer")

    @staticmethod
    def _field(response: httpx.Response, field: str, sent: str) -> str:
        value = parsed(response.text)
        found = value.get(field) if isinstance(value, dict) else None
        if response.status_code != 200 or not isinstance(found, str) or not found:
            raise Failure(
                sent=sent,
                got=f"status {response.status_code}, {show(response.text)}",
                expect=f'status 200 and {{"{field}": "..."}}',
                likely="the route is missing or answers something else, or refuses who is good",
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
            more: the rest of the query.
            after: the event before, for the message of a failure.
            likely: the mistake, if the handshake is refused.
        """
        path = f"/ws/{room}" + (f"?ticket={ticket}" if ticket else "") + more
        headers = (bearer(token) if token else {}) | ({"Origin": origin} if origin else {})
        async with AsyncExitStack() as stack:
            try:
                client = await stack.enter_async_context(self.subject.client(path, headers=headers))
            except Failure as failure:
                failure.after = after
                if failure.got in ("HTTP 401", "HTTP 403"):
                    failure.likely = likely or failure.likely
                raise
            # Replace the client by the member, so that only one of the two reads the connection.
            client.conversation.clients.remove(client)
            member = Member(client.connection, client.patience, self.mark, client.who)
            try:
                yield member
            finally:
                await member.end()

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
        answer = await self.subject.handshake(path, headers=headers)
        if answer in statuses:
            return
        if not isinstance(answer, int):
            got = "the socket accepted"
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
                likely = "an error leaves the dependency or the endpoint: what cannot be read is no token"
            elif answer in (401, 403):
                likely = f"it is refused, but for another reason than it should be. {likely}"
        raise Failure(
            sent=f"a handshake for {path.partition('?')[0]} with {what}",
            after=after,
            got=got,
            expect=f"HTTP {' or '.join(map(str, statuses))}",
            likely=likely,
            broken=answer == 500,
        )


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
