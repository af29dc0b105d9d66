"""Readers for the messages that an answer's client sends to the fake server, for the checks of step 09."""

import json
import unicodedata
from typing import Any

from judge.differences import difference
from judge.fake_server import PONG, ConnectionAttempt, FakeServer
from judge.messages import show

CONNECTS = (
    "Your client doesn't connect, or doesn't reconnect after its connection has ended. Connect in a loop that ends "
    "only when the client stops."
)
NOT_SENT = (
    "Your client doesn't send this message on this connection. Let its writer send each message in "
    "self._unacknowledged that this connection hasn't sent yet, and wake the writer in send() and for each connection."
)
IN_ORDER = (
    "Your client sends its messages in another order than the calls of send(). Iterate over self._unacknowledged from "
    "its start on each connection, and remove only messages that are acknowledged, rejected or canceled."
)
DUPLICATE = (
    "Your client sends a message twice on one connection. Store the keys that this connection has sent, and skip them."
)
ANSWERED = (
    "Your client sends a message again although its answer has arrived. Remove its key from self._unacknowledged when "
    "the ack or the error arrives."
)
KEEPS_KEY = (
    "Your client sends a message again with another key, so the server takes it for a new one. Choose the key once, in "
    "send(), and store it with the text."
)
OWN_KEY = (
    "Your client uses one key for two messages, so the server drops the second one. Choose a random key in each call "
    "of send(), such as uuid.uuid4().hex."
)
SAME_TEXT = (
    "Your client sends only one of two messages with the same text, so it takes them for one: its key is computed from "
    "the text. Choose a random key in each call of send(), such as uuid.uuid4().hex."
)
NO_KEY = 'Your client sends a message without a key. Send {"type": "message", "text": text, "key": key}.'
KEY_FORM = "Your client's key isn't a string of 1 to 64 characters, which the server requires. Use uuid.uuid4().hex."
SHARED = (
    "Two clients of one process share state: this one has what belongs to the other. Create every dict, deque, set "
    "and queue in __init__, not in the class body, in a module or as a default value."
)
PINGS = (
    'Your client doesn\'t answer a ping. When it receives {"type": "ping"}, let it send {"type": "pong"} on the same '
    "connection."
)
NO_ITEM = (
    "Your client doesn't deliver this item. Put each message and gap into the inbox when it arrives, and wake the task "
    "that iterates, with self._notify()."
)
NO_ID = (
    "Your send() still waits after its ack. Look up the key of the ack in self._unacknowledged, and set the result of "
    "its future to the id."
)
CLOSED_AGAIN = (
    "Your client leaves the old connection open. Leave the block of async with connect(...) before the next attempt."
)


async def accepted(server: FakeServer, client: int = 0, *, likely: str = CONNECTS) -> ConnectionAttempt:
    """Accept the next connection of a client."""
    attempt = await server.next_attempt(client, likely=likely)
    await attempt.accept()
    return attempt


async def next_sent(server: FakeServer, attempt: ConnectionAttempt, *, likely: str = NOT_SENT, expect: str = "") -> Any:
    """Return the next message that isn't a pong.

    Raises:
        Failure: none arrives.
    """
    more = {"expect": expect} if expect else {}
    while (got := await server.next_message(attempt, likely=likely, **more)) == PONG:
        pass
    return got


async def key_of(
    server: FakeServer, attempt: ConnectionAttempt, text: str, *, likely: str = NOT_SENT, wrong: str = "", key: str = ""
) -> str:
    """Read the next message of the client, and return its key.

    Args:
        server: the fake server that the client connects to.
        attempt: the connection.
        text: the expected text.
        likely: the likely cause if no message arrives.
        wrong: the likely cause if another one arrives that explains nothing on its own.
        key: the key of the first time, for a message that's sent again; empty for any.

    Raises:
        Failure: no message arrives, or it has another text or key, or no valid key.
    """
    expect = show({"type": "message", "text": text, "key": key or "..."})
    got = await next_sent(server, attempt, likely=likely, expect=expect)
    found = key_in(server, got, text, likely=wrong or likely, client=attempt.client)
    if key:
        keys_are(server, [found], [key])
    return found


def key_in(server: FakeServer, got: Any, text: str, *, likely: str = NOT_SENT, client: int = 0) -> str:
    """Return the key of a message that the client has sent.

    Args:
        server: the fake server that the client connects to.
        got: the message, decoded from JSON.
        text: the expected text.
        likely: the likely cause if it's another message that explains nothing on its own.
        client: the client's number.

    Raises:
        Failure: the message has another text or no valid key.
    """
    key = got.get("key") if isinstance(got, dict) else None
    is_key = isinstance(key, str) and 1 <= len(key) <= 64
    if is_key and got.get("text") == text and got.get("type") == "message":
        return str(key)
    wanted = {"type": "message", "text": text, "key": key if is_key else "..."}
    found = got.get("text") if isinstance(got, dict) else None
    if isinstance(found, str) and found != text and _folded(found) == _folded(text):
        likely = difference(wanted, json.dumps(got)) or likely
    elif found in server.texts.get(client, ()) and found != text:
        likely = IN_ORDER if likely == NOT_SENT else likely
    elif any(found in texts for other, texts in server.texts.items() if other != client):
        likely = SHARED
    elif isinstance(got, dict) and got.get("type") == "message" and found == text:
        likely = NO_KEY if key is None else KEY_FORM
    else:
        likely = difference(wanted, json.dumps(got)) or likely
    expect = show({"type": "message", "text": text, "key": "..."})
    raise server.failure(client, got=show(got), expect=expect, likely=likely, crash=False)


def _folded(text: str) -> str:
    """Return a text without its case, its accents' form, and the white space at its ends."""
    return unicodedata.normalize("NFKD", text).casefold().strip()


def keys_are(server: FakeServer, got: list[str], expect: list[str]) -> None:
    """Check the keys of messages that are sent again.

    Raises:
        Failure: a message has another key than the first time.
    """
    if got != expect:
        raise server.failure(0, got=f"keys {got}", expect=f"keys {expect}", likely=KEEPS_KEY, crash=False)


def unique(server: FakeServer, keys: list[str], *, likely: str = OWN_KEY) -> None:
    """Check that no two messages have the same key.

    Raises:
        Failure: two have.
    """
    if twice := [key for key in dict.fromkeys(keys) if keys.count(key) > 1]:
        got = f"the key {show(twice[0])} in {keys.count(twice[0])} of {len(keys)} messages"
        raise server.failure(0, got=got, expect="a key of its own in each message", likely=likely, crash=False)


async def no_more_sent(server: FakeServer, attempt: ConnectionAttempt, *, likely: str) -> None:
    """Check that the client sends nothing more on this connection than pongs.

    Raises:
        Failure: it sends a message.
    """
    if more := await server.messages_so_far(attempt, likely=PINGS):
        raise server.failure(attempt.client, got=show(more[0]), expect="no message", likely=likely, crash=False)


NEVER_ENDS = (
    "Your async with doesn't end. At its end, cancel every task of the client, and await each of them with "
    "asyncio.wait(), without waiting for the network."
)
TASK_LEFT = (
    "A task of your client still runs after the end of async with. Keep every task in a variable, and cancel and await "
    "it at the end."
)
SOCKET_LEFT = (
    "Your client leaves its connection open at the end of async with. Leave the block of async with connect(...), or "
    "call await websocket.close() in a finally."
)
SEND_WAITS = (
    "A send() still waits after the end of async with. At the end, set ConnectionError as the exception of every "
    "future in self._unacknowledged that isn't done."
)
READER_WAITS = (
    "The iteration still waits after the end of async with. Set self._ended at the end, and wake the task that "
    "iterates, with self._notify()."
)
LATE_WAITS = "Your send() after the end waits for an ack that can't arrive. Test self._ended first, and raise."
SWALLOWS = "Your __aexit__ returns a true value, which suppresses the exception of the block. Return None."


async def ends(
    server: FakeServer,
    client: int = 0,
    *,
    sends: int = 1,
    waits: str = "",
    likely: str = NEVER_ENDS,
    seconds: float = 0,
    with_error: bool = False,
    stopped: int | None = None,
) -> None:
    """End a client with a reader and suspended calls of send(), and check that all end and no task is left.

    Args:
        server: the fake server that the client connects to.
        client: the client's number.
        sends: the number of calls of send() that wait.
        waits: the likely cause if only some of them still wait.
        likely: the likely cause if async with doesn't end.
        seconds: the longest wait for the end, in seconds; 0 for the server's `patience`.
        with_error: whether its block ends with an exception.
        stopped: the code that has stopped the client before; then its iteration has ended too.

    Raises:
        Failure: one of them doesn't end, or a task is left.
    """
    await server.do("end", client, with_error=with_error)
    expect = "send() raises ConnectionError, the iteration ends, and async with ends"
    events: list[dict[str, Any]] = []
    while not events or events[-1]["event"] != "ended":
        events.append(await server.next(client, expect=expect, likely=likely, seconds=seconds))
        if events[-1]["event"] not in ("failed", "over", "ended"):
            raise await server.differs(client, events[-1], None, [], likely=likely, expect=expect)
    kinds = [event["event"] for event in events]
    last = events[-1]
    got, likely = "", ""
    if "raised" in last:
        error = last["raised"][0]
        got = f"async with raised {error['type']}: {error['message']}"
        likely = (
            f"The client's task ended with this exception, at {error['place'] or 'no line of yours'}, and __aexit__ "
            "raises it. Catch it where it's raised."
        )
    elif kinds.count("failed") < sends:
        got, likely = f"{sends - kinds.count('failed')} of {sends} calls of send() still wait", SEND_WAITS
        likely = waits if waits and "failed" in kinds else likely
    elif stopped is None and "over" not in kinds:
        got, likely = "the iteration still waits", READER_WAITS
    elif last["left"]:
        got, likely = f"unfinished: {', '.join(last['left'][:3])}", TASK_LEFT
    elif last.get("swallowed"):
        got, expect, likely = "no exception after async with", "the exception of its block", SWALLOWS
    elif (over := next((event for event in events if event["event"] == "over"), None)) and over["stopped"]:
        got, expect = f"stopped is {over['stopped']!r}", "stopped is None"
        likely = "Your client sets stopped at its end. Set it only for a fatal close code or HTTP status."
    if got:
        raise server.failure(client, got=got, expect=expect, likely=likely)
    await server.do("send", client, text="too late")
    await server.does("failed", client, text="too late", likely=LATE_WAITS)
