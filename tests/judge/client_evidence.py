"""What happened to an answer's client, and the likely cause: crashes of its tasks, and wrong events."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .differences import difference
from .messages import cut, show

CONNECTION_ERRORS = ("ConnectionClosed", "TimeoutError", "OSError", "WebSocketException", "CancelledError", "EOFError")
"""The exceptions, with their subclasses, that a task may raise on purpose when its connection ends."""
OVERFLOW = (
    "Your client ends after about a thousand attempts, because base * 2**n becomes too large for a float. Limit the "
    "power, such as 2 ** min(n, 64)."
)
CAUSES = {
    "OverflowError": OVERFLOW,
    "ConnectionClosed": "The connection ended there, which is normal. Catch ConnectionClosed, and reconnect.",
    "InvalidMessage": (
        "The server ended the connection before it answered the handshake. Catch WebSocketException, and reconnect."
    ),
    "InvalidHandshake": "The server answered the handshake with an error. Catch WebSocketException, and reconnect.",
    "WebSocketException": "The library raised it for this connection. Catch WebSocketException, and reconnect.",
    "TimeoutError": "A timeout expired there, and nothing catches it. Catch TimeoutError, and reconnect.",
    "gaierror": "The server's name couldn't be resolved. socket.gaierror is an OSError: catch OSError, and reconnect.",
    "OSError": "The server couldn't be reached. Catch OSError around connect(), and reconnect.",
    "InvalidStateError": (
        "The future of this message is done already, such as after a canceled send(). Test future.done() first."
    ),
    "UnicodeEncodeError": (
        "The text can't be encoded as UTF-8, and the task that sends it raises. Call text.encode() at the start of "
        "send(), so only that call raises."
    ),
    "KeyError": (
        "A lookup in a dict fails there. If the server's answer has a key that isn't in the dict, such as after a "
        "canceled send(), ignore the answer: test it with `in`, or use pop(key, None)."
    ),
    "QueueFull": "put_nowait() raises if the queue is full. Wait for room with await queue.put(...).",
}
"""By exception or base class: the cause and its fix, from the most special to the most general."""
REPEATED = (
    "Your client delivers an item a second time. Set self.after where you put a message into the inbox, not in "
    "__anext__(), and deliver a message only if its id is larger than self.after."
)
SKIPPED = (
    "Your client lost the item before this one. Put each message and gap into the inbox in the order of arrival, and "
    "skip only messages whose id isn't larger than the last one."
)
CHANGED = "Your client changes an item. Put the object that json.loads() returned into the inbox, and nothing else."
NOT_AN_ITEM = "Your client delivers messages of another type too. Put only messages and gaps into the inbox."
OTHER_ID = (
    "Your send() returns an id that isn't the one in the ack with its own key. Look up the ack's key, and set the "
    "result of that future to the ack's id."
)
FAILS = (
    "Your send() raises ConnectionError although the iteration hasn't ended. Raise it only if self._ended is True, and "
    "set self._ended only when the loop that reconnects has ended."
)
REJECTS = "Your send() raises ValueError although no answer has rejected this message. Raise it only for its own key."
ENDS = (
    "Your client ends its iteration while it should run. Set self._ended only when the loop that reconnects has ended."
)
STOPS = (
    "Your client stops for {code}, which isn't fatal. Compare with the close codes 1008 and 4401 and with HTTP 401 and "
    "403 only, and reconnect after every other code."
)
TWO_SENT = "Another call of send() returned. Set only the future of the key that the server's answer has."
CANCELS = (
    "Your send() raises CancelledError, although its task wasn't canceled: your client cancels the future. Call "
    "set_exception(ConnectionError(...)) on it instead."
)


@dataclass(frozen=True)
class Crash:
    """An exception that ended a task of the client."""

    is_root: bool
    """Whether it's the task that `async with` started."""
    errors: Sequence[dict[str, Any]]
    """The exceptions in it, as the driver describes them."""

    @property
    def telling(self) -> dict[str, Any]:
        """The exception that explains most: one that a lost connection doesn't cause, if there is one."""
        return next((error for error in self.errors if not _is_usual(error)), self.errors[0])

    @property
    def explains(self) -> bool:
        """Whether it's a bug on its own: a task may raise ConnectionClosed to end its task group."""
        return self.is_root or not _is_usual(self.telling)

    def __str__(self) -> str:
        what = "the client's task" if self.is_root else "a task of the client"
        group = " in an ExceptionGroup" if len(self.errors) > 1 else ""
        return f"{what} ended with {describe(self.telling)}{group}"

    @property
    def likely(self) -> str:
        """The cause and its fix."""
        return explain(self.telling)


def _is_usual(error: dict[str, Any]) -> bool:
    return any(base in CONNECTION_ERRORS for base in error["bases"])


def describe(error: dict[str, Any]) -> str:
    """Return an exception as a failure shows it, with the learner's innermost line."""
    message = f": {cut(error['message'])}" if error["message"] else ""
    return f"{error['type']}{message}{' at ' if error['place'] else ''}{error['place']}"


def explain(error: dict[str, Any]) -> str:
    """Return the cause of an exception, and its fix."""
    for name, cause in CAUSES.items():
        if name in error["bases"]:
            return cause
    where = error["place"].partition(",")[0].replace("client.py:", "line ") or "your code"
    return f"{where.capitalize()} raises {error['type']}, and that ends the task. Fix this line first."


def cause_of(got: dict[str, Any], expected: dict[str, Any], delivered: Sequence[Any]) -> str:
    """Explain an event that isn't the expected one; empty if it explains nothing on its own.

    Args:
        got: the event.
        expected: the expected event.
        delivered: the items that the client has delivered before.
    """
    match got["event"]:
        case "raised":
            return explain(got["errors"][0])
        case "over":
            return "" if expected["event"] == "over" else ENDS
        case "canceled":
            return CANCELS
        case "failed" if expected["event"] in ("item", "sent", "canceled"):
            return FAILS
        case "rejected" if expected["event"] in ("item", "sent"):
            return REJECTS
        case "item":
            return _cause_of_item(got["item"], expected.get("item"), delivered)
        case "sent" if expected["event"] == "sent":
            return OTHER_ID if got["text"] == expected["text"] else TWO_SENT
    return ""


def _cause_of_item(got: Any, expected: Any, delivered: Sequence[Any]) -> str:
    if not isinstance(got, dict) or got.get("type") not in ("message", "gap"):
        return NOT_AN_ITEM
    if got in delivered:
        return REPEATED
    if not isinstance(expected, dict):
        return ""
    one, other = got.get("id"), expected.get("id")
    if got.get("type") != expected.get("type"):
        return SKIPPED if expected in delivered or got.get("type") == "message" else ""
    if isinstance(one, int) and isinstance(other, int) and one != other:
        return SKIPPED if one > other else REPEATED
    return changed(expected, got)


def changed(expected: dict[str, Any], got: Any) -> str:
    """Explain how a delivered item differs from the message that the server sent."""
    found = difference(expected, json.dumps(got)) or CHANGED
    return (
        found.replace("it sends", "it delivers")
        .replace("Your code sends", "Your client delivers")
        .replace("Your code also sends", "Your client also delivers")
        .replace("Send it", "Deliver it")
        .replace("your code sends", "your client delivers")
        .replace("the dict that you send", "what you put into the inbox")
    )


def show_event(event: dict[str, Any]) -> str:
    """Return an event as a failure shows it."""
    match event:
        case {"event": "item", "item": item}:
            return f"the iteration yielded {show(item)}"
        case {"event": "sent", "text": text, "id": number}:
            return f"send({show_text(text)}) returned {json_of(number)}"
        case {"event": "failed", "text": text}:
            return f"send({show_text(text)}) raised ConnectionError"
        case {"event": "rejected", "text": text}:
            return f"send({show_text(text)}) raised ValueError"
        case {"event": "canceled", "text": text}:
            return f"send({show_text(text)}) raised CancelledError"
        case {"event": "raised", "what": what, "errors": [error, *_]}:
            return f"{what} raised {describe(error)}"
        case {"event": "over", "stopped": stopped}:
            return f"the iteration ended, and stopped is {stopped}"
        case {"event": "timer"}:
            return "nothing before a timer of this check expired"
        case {"event": "ended"}:
            return "async with ended"
    return show(event)


def show_text(text: str) -> str:
    """Return a text as Python source, in one line of a failure."""
    return cut(repr(text))


def json_of(value: object) -> str:
    """Return a result of send(): a number, or another value in quotes."""
    return str(value) if isinstance(value, int) else show(value)
