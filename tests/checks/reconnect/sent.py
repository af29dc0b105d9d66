"""What the client of an answer sends to the judge's server, for the checks of TODOs 4 to 6 of step 08."""

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
    """Return the next frame that isn't a pong.

    Raises:
        Failure: there is none.
    """
    while (got := await server.next_message(attempt, likely=likely)) == PONG:
        pass
    return got


async def key_of(server: FakeServer, attempt: ConnectionAttempt, text: str, *, likely: str = IN_ORDER) -> str:
    """Read the next message of the client, and return its key.

    Args:
        server: the one that the client connects to.
        attempt: the connection.
        text: of the message.
        likely: the mistake, if another one comes.

    Raises:
        Failure: none comes, or it has another text or no key.
    """
    return key_in(server, await next_sent(server, attempt, likely=likely), text, likely=likely)


def key_in(server: FakeServer, got: Any, text: str, *, likely: str = IN_ORDER) -> str:
    """Return the key of a message that the client has sent.

    Args:
        server: the one that the client connects to.
        got: what it has sent.
        text: that it must have.
        likely: the mistake, if it's another one.

    Raises:
        Failure: it has another text or no key.
    """
    key = got.get("key") if isinstance(got, dict) else None
    if not isinstance(key, str) or not 1 <= len(key) <= 64 or got.get("text") != text or got.get("type") != "message":
        expect = show({"type": "message", "text": text, "key": "..."})
        raise Failure(after=server.did, got=show(got), expect=expect, likely=likely)
    return key


def keys_are(server: FakeServer, got: list[str], expect: list[str]) -> None:
    """Judge the keys of messages that are sent again.

    Raises:
        Failure: one isn't the key of the first time.
    """
    if got != expect:
        raise Failure(after=server.did, got=f"keys {got}", expect=f"keys {expect}", likely=KEEPS_KEY)
