"""What an error in the server's log usually means. It is a better witness than any guess of a check."""

import re

SYMPTOMS = (
    (r"KeyError: 'text'", "receive_text() raises KeyError on a binary frame, and so does message['text']"),
    (r"KeyError: 'bytes'", "a text frame has no bytes: read with receive() and look at what came"),
    (
        r"Need to call \"accept\" first",
        "the socket is not connected: await websocket.accept() was never called, "
        "or a send to this client has failed before and the loop reads on",
    ),
    (r"Expected ASGI message \"websocket.accept\"", "await websocket.accept() must come before anything else"),
    (r"^SystemExit|^KeyboardInterrupt", "something calls sys.exit() or exit(), which ends the server for everybody"),
    (r"unhashable type", "a value from the client is used as a key: JSON may hold a list there"),
    (
        r"object has no attribute 'get'|is not subscriptable|indices must be",
        "JSON need not be an object: ask isinstance(data, dict) first",
    ),
    (
        r"Cannot call \"receive\" once a disconnect message has been received",
        "the loop goes on after the client has left: leave it on WebSocketDisconnect",
    ),
    (
        r"Cannot call \"send\" once a close message has been sent",
        "something is sent, or closed, on a socket that was closed before: in the endpoint that does it, "
        "that raises WebSocketDisconnected, with a d at its end, which is a RuntimeError. "
        "A loop that catches every Exception and goes on does this too",
    ),
    (
        r"Unexpected ASGI message 'websocket.(?:send|close)'",
        "something is sent to a socket that was closed already",
    ),
    (
        r"(?:Set|[dD]ictionary) changed size during iteration",
        "a member left while the loop was running: loop over a copy",
    ),
    (r"list\.remove\(x\): x not in list", "the member is removed twice: once by the loop, once when its endpoint ends"),
    (
        r"^redis\.exceptions\.(?:ResponseError|NoScriptError|DataError)",
        "Redis does not take a command, or a script has a mistake: the text of the error says which",
    ),
    (r"JSONDecodeError", "nothing catches the error that json raises for a text that is not JSON"),
    (r"ValidationError", "nothing catches the error that Pydantic raises for a message of another shape"),
    (r"^jwt\.exceptions\.", "nothing catches the errors of PyJWT: jwt.PyJWTError is the parent of all of them"),
    (r"RecursionError", "a function calls itself, or JSON nested too deep is read without a catch"),
    (
        r"UnicodeDecodeError",
        "the bytes of a binary frame are decoded as if they were text",
    ),
    (
        r"WebSocketDisconnect\b",
        "nothing catches WebSocketDisconnect: it is raised when the client has left, "
        "by a receive in its own endpoint and by a send in the endpoint of whoever sends",
    ),
    (
        r"AttributeError: module '.*' has no attribute '_contains_router'",
        "include_router() was given the module: give it the router in the module",
    ),
    (
        r"AttributeError: partially initialized module|cannot import name .* from partially initialized module",
        "two modules import each other: move what both need into a third one",
    ),
    (
        r"ModuleNotFoundError: No module named '(?:chat|lobby|rooms|main)'",
        "a module of the same package is imported without its dot: from . import chat",
    ),
    (
        r"attempted relative import with no known parent package",
        "the file runs as a script: run it as part of its package",
    ),
)


def error_in(log: str) -> str | None:
    """The part of a log that tells most: the last error that is no WebSocketDisconnect, or else the last one.

    Clients of a check come and go, so an uncaught WebSocketDisconnect may belong to an earlier one.
    """
    found = re.findall(
        r"^Traceback \(most recent call last\):\n(?:(?!INFO: |ERROR: |Traceback ).*\n?)*", log, re.MULTILINE
    )
    telling = [error for error in found if "WebSocketDisconnect: " not in error]
    return (telling or found or [None])[-1]


def meaning_of(log: str) -> str | None:
    """What an error in a log means, or None if there is none, or none of the known ones."""
    if found := re.search(r"RuntimeWarning: coroutine '(?:\w+\.)*(\w+)' was never awaited", log):
        return f"await is missing before the call of {found[1]}()"
    error = error_in(log) or ""
    return next((meaning for pattern, meaning in SYMPTOMS if re.search(pattern, error, re.MULTILINE)), None)
