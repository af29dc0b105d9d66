"""Readers for the messages that an answer's client sends to the fake server, for the checks of step 09."""

from typing import Any

from judge.fake_server import PONG, ConnectionAttempt, FakeServer
from judge.messages import show
from judge.model import Failure

CONNECTS = (
    "Your client doesn't connect, or doesn't reconnect after its connection has ended. Connect in a loop that ends "
    "only when the client stops."
)
IN_ORDER = "what is not acknowledged is sent on each connection, in the order of the calls, with a key"
KEEPS_KEY = "a message that is sent again keeps its key: otherwise the server takes it for a new one"
PINGS = (
    'Your client doesn\'t answer a ping. When it receives {"type": "ping"}, let it send {"type": "pong"} on the same '
    "connection."
)


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


async def ends(server: FakeServer, client: int = 0, *, likely: str, seconds: float = 0) -> None:
    """End a client with a reader and a suspended send(), and check that both end and no task is left.

    Args:
        server: the fake server that the client connects to.
        client: the client's number.
        likely: the likely cause if they don't end.
        seconds: the longest wait for the end, in seconds; 0 for the server's `patience`.

    Raises:
        Failure: one of them doesn't end, or a task is left.
    """
    await server.do("end", client)
    got = [await server.next(client, expect="failed, over, ended", likely=likely, seconds=seconds) for _ in range(3)]
    events = sorted(event["event"] for event in got)
    ended = next((event for event in got if event["event"] == "ended"), {})
    if events != ["ended", "failed", "over"] or ended.get("left") or ended.get("waiting"):
        raise Failure(
            after=server.did,
            got=f"{', '.join(events)}; unfinished: {ended.get('left') or 'nothing'}",
            expect="send() raises ConnectionError, the iteration ends, nothing is unfinished",
            likely=likely,
        )
    await server.do("send", client, text="too late")
    late = "send() after the end raises ConnectionError"
    await server.does("failed", client, text="too late", likely=late)
