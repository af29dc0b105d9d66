"""Readers for the messages that an answer's client sends to the fake server, for TODOs 4 to 6 of step 08."""

from typing import Any

from judge.fake_server import PONG, ConnectionAttempt, FakeServer
from judge.messages import show
from judge.model import Failure

CONNECTS = "the client connects, and again when the connection was lost"
IN_ORDER = "what is not acknowledged is sent on each connection, in the order of the calls, with a key"
KEEPS_KEY = "a message that is sent again keeps its key: otherwise the server takes it for a new one"
PINGS = "a ping is answered with a pong"


async def accepted(server: FakeServer, client: int = 0, *, likely: str = CONNECTS) -> ConnectionAttempt:
    """Accept the next connection of a client."""
    attempt = await server.next_attempt(client, likely=likely)
    await attempt.accept()
    return attempt


async def next_sent(server: FakeServer, attempt: ConnectionAttempt, *, likely: str = IN_ORDER) -> Any:
    """Return the next message that isn't a pong.

    Raises:
        Failure: none arrives.
    """
    while (got := await server.next_message(attempt, likely=likely)) == PONG:
        pass
    return got


async def key_of(server: FakeServer, attempt: ConnectionAttempt, text: str, *, likely: str = IN_ORDER) -> str:
    """Read the next message of the client, and return its key.

    Args:
        server: the fake server that the client connects to.
        attempt: the connection.
        text: the expected text.
        likely: the likely cause if another message arrives.

    Raises:
        Failure: no message arrives, or it has another text or no valid key.
    """
    return key_in(server, await next_sent(server, attempt, likely=likely), text, likely=likely)


def key_in(server: FakeServer, got: Any, text: str, *, likely: str = IN_ORDER) -> str:
    """Return the key of a message that the client has sent.

    Args:
        server: the fake server that the client connects to.
        got: the message, decoded from JSON.
        text: the expected text.
        likely: the likely cause if it's another message.

    Raises:
        Failure: the message has another text or no valid key.
    """
    key = got.get("key") if isinstance(got, dict) else None
    if not isinstance(key, str) or not 1 <= len(key) <= 64 or got.get("text") != text or got.get("type") != "message":
        expect = show({"type": "message", "text": text, "key": "..."})
        raise Failure(after=server.did, got=show(got), expect=expect, likely=likely)
    return key


def keys_are(server: FakeServer, got: list[str], expect: list[str]) -> None:
    """Check the keys of messages that are sent again.

    Raises:
        Failure: a message has another key than the first time.
    """
    if got != expect:
        raise Failure(after=server.did, got=f"keys {got}", expect=f"keys {expect}", likely=KEEPS_KEY)
