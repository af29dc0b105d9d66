"""Explain errors by their type: one cause in the learner's code, then one fix."""

import json
import re
from collections.abc import Callable

from .troubles import Trouble

Sent = str | None
GO_ON = "reply with the error and continue the loop: no break, no return"
BOTH = "Catch both, as in except (WebSocketDisconnect, RuntimeError)"
BUILT_IN = {
    "WebSocketDisconnect": "from fastapi import WebSocketDisconnect",
    "WebSocket": "from fastapi import WebSocket",
    "HTTPException": "from fastapi import HTTPException",
    "APIRouter": "from fastapi import APIRouter",
    "Depends": "from fastapi import Depends",
    "ValidationError": "from pydantic import ValidationError",
    "BaseModel": "from pydantic import BaseModel",
    "Annotated": "from typing import Annotated",
    "Any": "from typing import Any",
    "suppress": "from contextlib import suppress",
    "asynccontextmanager": "from contextlib import asynccontextmanager",
    "defaultdict": "from collections import defaultdict",
    **{name: f"import {name}" for name in ("asyncio", "json", "jwt", "time", "contextlib", "secrets", "uuid")},
}
"""The import for each name that learners use without one."""
ANSWERED = (
    "Your loop answers the message that reports the disconnect, as if the client had sent it. "
    'Leave the loop when message["type"] is "websocket.disconnect".'
)
NOT_AN_OBJECT = {"list": "an array", "str": "a string", "int": "a number", "float": "a number", "bool": "a boolean"}
"""Kinds of JSON values that aren't objects, by the Python type that json.loads() returns."""
SERIALIZED = {
    "set": "Convert it to a list, as in sorted(values)",
    "WebSocket": "A connection can't be sent: send its member's name",
    "coroutine": "It's a call without await: add await",
    "bytes": "Decode it, or answer a binary frame with an error",
    "datetime": "Convert it with isoformat()",
}


def _is_binary(sent: Sent) -> bool:
    return sent is not None and sent.startswith("a binary frame")


def _json_of(sent: Sent) -> object:
    """Return the JSON value that was sent, or the sentinel `...` if it isn't known."""
    found = re.fullmatch(r'the text "(.*)"', sent or "", re.DOTALL)
    try:
        return json.loads(found[1] if found else sent or "")
    except (ValueError, RecursionError):
        return ...


def _key_error(trouble: Trouble, sent: Sent) -> str | None:
    key, value = trouble.message, _json_of(sent)
    if trouble.called.startswith("receive") and key == "'text'":
        return (
            f"{trouble.called}() raises KeyError on a binary frame, which has no text. "
            'Read with receive(), and look for "text" in the message.'
        )
    if trouble.called.startswith("receive") and key == "'bytes'":
        return (
            f"{trouble.called}() raises KeyError on a text frame, which has no bytes. "
            "Read with receive(), and look for what the message has."
        )
    if trouble.phase == "clean-up":
        deletes = re.match(r"del\b", trouble.source) or ".pop(" in trouble.source
        if not deletes and key.startswith("'"):
            return (
                f"Your clean-up looks up {key}, which isn't in the dictionary: another member's clean-up has removed "
                f"it before. Look it up with get({key}), and do nothing if it isn't there."
            )
        fix = "pop(key, None)" if deletes else "discard(member)"
        return (
            "Your clean-up removes something that isn't there: it was removed before, after a failed send or by "
            f"another member's clean-up. Use {fix}, which raises nothing, or remove it in one of the two only."
        )
    if trouble.raw_message or (key in ("'text'", "'bytes'") and _is_binary(sent)):
        if key == "'text'" and sent is None:
            return (
                "A binary frame has no text, and neither has the message that reports a disconnect. "
                'Look at message["type"] first, and read the text with message.get("text").'
            )
        if key == "'text'" and not _is_binary(sent):
            return (
                "The message that reports a disconnect has no text, so reading it as if it were one raises KeyError. "
                'Look at message["type"] first, and leave the loop on "websocket.disconnect".'
            )
        other = "text" if key == "'bytes'" else "binary"
        return (
            f"A {other} frame has no {key[1:-1]}, so reading that key of the message raises KeyError. "
            f"Read it with message.get({key}), and handle None."
        )
    literal = re.search(rf"\[\s*[\"']{re.escape(key[1:-1])}[\"']\s*\]", trouble.source)
    if trouble.own and literal and isinstance(value, dict) and key[1:-1] not in value:
        return f"The client's JSON has no key {key}. Read it with data.get({key}), and {GO_ON}."
    if trouble.own and not isinstance(value, dict):
        return (
            f"The dictionary in this line has no key {key}. Read it with get({key}) and handle None; "
            f"if the dictionary is the client's JSON, {GO_ON}."
        )
    if trouble.own:
        return f"The dictionary in this line has no key {key}. Read it with get({key}), and handle None."
    return None


def _disconnect(trouble: Trouble, sent: Sent) -> str | None:
    if trouble.background:
        return (
            "A task sends to a client that has disconnected, and nothing awaits the task. "
            "Cancel and await it in the endpoint's finally, and catch WebSocketDisconnect and RuntimeError in the task."
        )
    if trouble.phase == "receive" or trouble.called.startswith(("receive", "iter")):
        return (
            "The client disconnected while your endpoint waited for its next message, and nothing catches "
            "WebSocketDisconnect there. Put the loop into try, and catch it after the loop."
        )
    if trouble.phase == "clean-up":
        return (
            "A send in your except or finally block raises again, because that client has disconnected too. "
            f"{BOTH}, around each single send."
        )
    if trouble.answers_disconnect:
        return ANSWERED
    if trouble.own_socket:
        return (
            "Your endpoint sends to its client, which has disconnected, and nothing catches WebSocketDisconnect. "
            f"Put the sends into the same try as the receive. {BOTH}, because a second send raises RuntimeError."
        )
    if trouble.places:
        return (
            "A send to a member that has disconnected raises WebSocketDisconnect in the sender's endpoint, and "
            "nothing catches it, so the sender is disconnected as well. "
            f"{BOTH}, around each single send, and continue with the next one."
        )
    return None


def _runtime_error(trouble: Trouble, sent: Sent) -> str | None:
    message = trouble.message
    for pattern, explain in RUNTIME_ERRORS:
        if re.search(pattern, message):
            return explain if isinstance(explain, str) else explain(trouble)
    return None


def _not_connected(trouble: Trouble) -> str:
    if trouble.phase == "handshake":
        return "Your endpoint reads before it has accepted the connection. Call await websocket.accept() first."
    if trouble.own_close:
        return "Your endpoint closes the connection and then reads on. Return after close()."
    return (
        "The loop reads on after a send to this client has failed before, or after its connection was closed. "
        "Then a receive raises RuntimeError, not WebSocketDisconnect, and the advice about accept misleads. "
        f"{BOTH}, around the loop, and leave the loop: no continue."
    )


def _received_after(trouble: Trouble) -> str:
    if trouble.called == "receive":
        return (
            "The loop calls receive() again after it has read the message that reports the disconnect. "
            'Leave the loop when message["type"] is "websocket.disconnect".'
        )
    return (
        "The loop catches the disconnect and reads on. "
        "Leave the loop on WebSocketDisconnect, with break or return, or put the try around the whole loop."
    )


def _sent_after(trouble: Trouble) -> str:
    if trouble.called == "close":
        return (
            "The connection is closed a second time, or after a send to it has failed. "
            "Call close() once for each connection, and catch RuntimeError there."
        )
    if trouble.own_close:
        return "Your endpoint closes the connection and then sends. Send before close(), and return after it."
    if trouble.answers_disconnect:
        return ANSWERED
    return (
        "Your code sends to a connection that was closed, or to which a send has failed before. "
        "That raises WebSocketDisconnected, a RuntimeError, not WebSocketDisconnect. "
        f"{BOTH}, and don't send to that connection again: a loop that catches every Exception and goes on does this."
    )


def _no_loop(trouble: Trouble) -> str:
    if trouble.phase == "start":
        return (
            "This line needs an event loop, and none runs while the file is imported. "
            "Move the line into an async function, such as the lifespan or an endpoint."
        )
    return (
        "This line runs in a thread, where no event loop runs. "
        "Make its function async and await it in the endpoint, or use asyncio.run_coroutine_threadsafe() in the thread."
    )


RUNTIME_ERRORS: tuple[tuple[str, str | Callable[[Trouble], str]], ...] = (
    (r'Need to call "accept" first', _not_connected),
    (
        r"Cannot change state of \w+ Timeout",
        "Your code reschedules a timeout whose block has already ended, so its connection has too. "
        "Remove each timeout from its set in finally, before any await, and skip one that's expired().",
    ),
    (
        r"Expected ASGI message \"websocket\.accept\"",
        "Your endpoint sends before it has accepted the connection. Call await websocket.accept() first.",
    ),
    (
        r"completing handshake",
        "Your endpoint returns before it has accepted the connection. Call await websocket.accept() first.",
    ),
    (
        r"but got '?\"?websocket\.accept",
        "accept() is called twice for this connection, perhaps in the endpoint and in a function it calls. "
        "Call it once.",
    ),
    (
        r"but got '?\"?websocket\.http\.response",
        "An HTTPException is raised after accept(), when the server can no longer answer over HTTP. "
        "Raise it before accept(), or close the connection with a code.",
    ),
    (r'Cannot call "receive" once a disconnect', _received_after),
    (r'Cannot call "send" once a close|Unexpected ASGI message .websocket\.', _sent_after),
    (
        r"changed size during iteration|mutated during iteration",
        "A member joined or left while the loop over the members waited in an await. "
        "Loop over a copy, as in for member in list(members).",
    ),
    (
        r"asyncio\.run\(\) cannot be called|event loop is already running|while another loop is running",
        "asyncio.run() starts an event loop, and the endpoint runs in one already. Await the coroutine instead.",
    ),
    (r"no running event loop|no current event loop", _no_loop),
    (
        r"attached to a different loop|bound to a different event loop|got Future .* attached",
        "An object of the server's event loop is awaited in another one, such as that of asyncio.run() in a thread. "
        "Await it in the endpoint, or use asyncio.run_coroutine_threadsafe() in the thread.",
    ),
)


def _value_error(trouble: Trouble, sent: Sent) -> str | None:
    if ".remove(x)" not in trouble.message:
        return None
    if trouble.phase == "clean-up":
        return (
            "Your clean-up removes the member a second time: it was removed before, after a failed send. "
            "Remove it in one of the two only, or use a set and discard(), which raises nothing, and loop over a copy "
            "of it."
        )
    return (
        "The list doesn't contain what this line removes: it was removed before, or never added. "
        "Use a set and discard(), which raises nothing, or check with in first."
    )


def _json_error(trouble: Trouble, sent: Sent) -> str | None:
    if sent == "an empty text":
        what = "An empty text isn't JSON"
    elif _json_of(sent) is not ... and not _is_binary(sent):
        what = "The string in this line isn't JSON"
    else:
        what = "The client's text isn't JSON"
    name = trouble.called if trouble.called.startswith(("receive", "loads", "iter")) else "json.loads"
    name = "json.loads" if name == "loads" else name
    return (
        f"{what}, and nothing catches the JSONDecodeError that {name}() raises. "
        f"Catch it (it's a ValueError) around that call, inside the loop, {GO_ON}."
    )


def _recursion(trouble: Trouble, sent: Sent) -> str | None:
    encodes = any(path.endswith("encoder.py") for path in trouble.libraries)
    if any("json" in path for path in trouble.libraries) and not (encodes and "[[[[" not in (sent or "")):
        return (
            "JSON that is nested too deep makes json.loads() raise RecursionError, which isn't a ValueError. "
            f"Catch it too, {GO_ON}."
        )
    if trouble.function and f"{trouble.function}(" not in trouble.source:
        return (
            "Functions call each other, once more for each member, until the calls are nested too deep: a send that "
            "closes members, whose leaving sends notices. Use a loop over a list of what's left to do."
        )
    if trouble.function:
        return f"{trouble.function}() calls itself without end. Return before that call in the simplest case."
    return None


def _encode_error(trouble: Trouble, sent: Sent) -> str | None:
    if "surrogates not allowed" not in trouble.message:
        return None
    fix = "Send it escaped" if trouble.called == "send_json" else "Send it as JSON"
    return (
        "The text, or another string, contains a lone surrogate, half of an emoji, which UTF-8 can't encode. "
        f"{fix}, with send_text(json.dumps(data)), or catch UnicodeEncodeError, {GO_ON}."
    )


def _decode_error(trouble: Trouble, sent: Sent) -> str | None:
    return (
        "Your code decodes the bytes of a binary frame as if they were UTF-8 text. "
        f"Don't decode them: treat a binary frame as one you can't read, {GO_ON}."
        if trouble.phase != "start"
        else "A file is read with another encoding than its own. Read it with encoding='utf-8'."
    )


def _validation(trouble: Trouble, sent: Sent) -> str | None:
    if trouble.phase == "start":
        return None
    if trouble.called == "__init__":
        return (
            "A Pydantic model gets values that don't fit it. "
            f"If they come from the client, catch ValidationError inside the loop, {GO_ON}."
        )
    what = "isn't JSON" if "json_invalid" in trouble.detail else "doesn't fit the model"
    return (
        f"The client's message {what}, and nothing catches the ValidationError that Pydantic raises. "
        f"Catch it inside the loop, {GO_ON}."
    )


def _type_error(trouble: Trouble, sent: Sent) -> str | None:
    message = trouble.message
    if "'coroutine' object" in message:
        return "A value in this line is a coroutine, because the call that made it has no await. Add await there."
    if re.search(r"can't be used in 'await' expression|can't be awaited", message):
        if not trouble.places:
            return "A WebSocket endpoint or a function it depends on is a plain def. Write async def."
        return (
            "The function that this line awaits is a plain def: it returns its result, and there's nothing to await. "
            "Remove await, or write async def."
        )
    if found := re.search(r"Object of type (\w+) is not JSON serializable", message):
        fix = SERIALIZED.get(found[1], "Convert it to a string, a number, a list or a dictionary first")
        return f"A value of type {found[1]} can't be written as JSON. {fix}."
    if found := re.search(r"JSON object must be str, bytes or bytearray, not (\w+)", message):
        if found[1] == "NoneType":
            return "A binary frame has no text, so json.loads() gets None. Check for None before you parse the message."
        return f"json.loads() gets a {found[1]}, so the message was parsed before. Parse the received text once."
    if "bytes-like object is required" in message and trouble.called == "send_bytes":
        return "send_bytes() gets a string. Send it with send_text()."
    if found := re.search(r"(\w+) indices must be|'(\w+)' object is not subscriptable", message):
        kind = {"string": "str"}.get(found[1], found[1]) if found[1] else found[2]
        return _not_an_object(kind, sent)
    if found := re.search(r"unhashable type: '(\w+)'", message):
        return (
            f"A value from the client's JSON is a {found[1]}, which can't be a key or a member of a set. "
            f"Check isinstance(value, str) first, {GO_ON}."
        )
    if "'async_generator' object is not iterable" in message:
        return "This loop iterates over messages that arrive later. Write async for."
    if found := re.search(r"'(\w+)' object does not support the context manager protocol", message):
        return f"A {found[1]} is entered without waiting for it. Write async with."
    if trouble.called == "close" and any("websockets/frames" in path for path in trouble.libraries):
        return 'close() gets a code that isn\'t a number. Its arguments are close(1000, "reason").'
    if "positional argument: 'request'" in message and not trouble.places:
        return "A WebSocket route has no Request. Declare a parameter of type WebSocket or HTTPConnection."
    return None


def _not_an_object(kind: str, sent: Sent) -> str | None:
    if kind == "NoneType":
        if _json_of(sent) is None:
            return f"The JSON value null has no keys. Check isinstance(data, dict) first, {GO_ON}."
        return "The value in this line is None. If it's the client's JSON, it was null: check isinstance(data, dict)."
    if kind not in NOT_AN_OBJECT:
        return None
    if isinstance(_json_of(sent), dict):
        # Not the cause: the client sent an object.
        return "The received text isn't parsed. Call json.loads(text) first." if kind == "str" else None
    return (
        f"The client's JSON is {NOT_AN_OBJECT[kind]}, not an object, so it has no keys. "
        f"Check isinstance(data, dict) first, {GO_ON}."
    )


def _attribute_error(trouble: Trouble, sent: Sent) -> str | None:
    message = trouble.message
    if "_contains_router" in message:
        return "include_router() gets the module. Give it the router in the module, such as chat.router."
    if "partially initialized module" in message:
        return _import_error(trouble, sent)
    found = re.search(r"'(\w+)' object has no attribute '(\w+)'", message)
    if not found:
        return None
    kind, name = found[1], found[2]
    if kind == "coroutine":
        return "A value in this line is a coroutine, because the call that made it has no await. Add await there."
    if name == "encode" and trouble.called == "send_text":
        fix = "Use send_json()" if kind in ("dict", "list") else "Convert it with str()"
        return f"send_text() sends strings only, and gets a value of type {kind}. {fix}."
    if name in ("get", "keys", "items", "pop") and trouble.own:
        return _not_an_object(kind, sent)
    return None


def _import_error(trouble: Trouble, sent: Sent) -> str | None:
    message = trouble.message
    if "partially initialized module" in message:
        return "Two modules import each other. Move what both need into a third module."
    if "no known parent package" in message:
        return (
            "A relative import needs a package, and this file was started as a module of its own. "
            "Start it as part of its package, such as exercise.main:app."
        )
    if "beyond top-level package" in message:
        return "The import has too many dots. One dot is the file's own package."
    if found := re.fullmatch(r"No module named '(\w+)'", message):
        name = found[1]
        package = trouble.file.parent if trouble.file else None
        if package and ((package / f"{name}.py").is_file() or (package / name).is_dir()):
            return f"{name} is a module of the same package, and its import has no dot. Write from . import {name}."
        return f"Python finds no module {name}. Check its spelling, and that it's in requirements.txt."
    if found := re.match(r"cannot import name '(\w+)' from '([\w.]+)'", message):
        return f"{found[2]} doesn't define {found[1]}. Check the spelling, and that the file is saved."
    return None


def _exit(trouble: Trouble, sent: Sent) -> str | None:
    if trouble.kind == "SystemExit" or trouble.places:
        return "sys.exit() or exit() ends the whole server, with all its clients. Return from the endpoint instead."
    return None


def _not_found(trouble: Trouble, sent: Sent) -> str | None:
    return (
        "A relative path starts in the folder where uvicorn was started, not in that of your file. "
        "Build the path from Path(__file__).parent."
    )


def _name_error(trouble: Trouble, sent: Sent) -> str | None:
    found = re.match(r"name '(\w+)' is not defined", trouble.message)
    if found and found[1] in BUILT_IN:
        return f"{found[1]} isn't imported. Add {BUILT_IN[found[1]]}."
    return None


def _unbound(trouble: Trouble, sent: Sent) -> str | None:
    found = re.search(r"variable '(\w+)'", trouble.message)
    if not found:
        return None
    name = found[1]
    return (
        f"{trouble.function}() assigns to {name}, so {name} is a local variable, and here it has no value yet. "
        f"Assign it before, or, if the module's {name} is meant, declare global {name}."
    )


def _syntax(trouble: Trouble, sent: Sent) -> str | None:
    if re.search(r"outside async function|'await' outside function", trouble.message):
        return "The function around this line is a plain def. Write async def."
    return None


def _http_exception(trouble: Trouble, sent: Sent) -> str | None:
    if trouble.phase in ("start", "handshake"):
        return None
    return (
        "An HTTPException is raised after accept(), when the server can no longer answer over HTTP. "
        "Raise it before accept(), or close the connection with a code."
    )


def _timeout(trouble: Trouble, sent: Sent) -> str | None:
    return "A time limit in your code ended the wait in this line, and nothing catches TimeoutError. Catch it there."


def _queue_full(trouble: Trouble, sent: Sent) -> str | None:
    return (
        "A member's queue is full, so put_nowait() raises QueueFull in the sender's endpoint. "
        "Catch it for each member, and disconnect that member."
    )


def _protocol(trouble: Trouble, sent: Sent) -> str | None:
    if trouble.called != "close":
        return None
    if "status code" in trouble.message:
        return "This close code can't be sent: 1005, 1006 and 1015 are reserved. Send 1000, or one from 4000 to 4999."
    if "too long" in trouble.message:
        return "The close reason is longer than 123 bytes. Shorten it."
    return None


def _assertion(trouble: Trouble, sent: Sent) -> str | None:
    if any("starlette/requests" in path for path in trouble.libraries):
        return "A Request is made of a WebSocket connection. Read from the WebSocket itself, or from an HTTPConnection."
    if any("starlette/websockets" in path for path in trouble.libraries):
        return "A WebSocket is made of an HTTP request. Declare the route with @app.websocket(...)."
    return None


def _response(trouble: Trouble, sent: Sent) -> str | None:
    if re.search(r", [45]\d\d\)", f"{trouble.message} {trouble.detail}"):
        return (
            "You return a tuple with the status, as Flask does. FastAPI doesn't read it as a status. "
            "Raise HTTPException with that status instead."
        )
    wrong = r"'loc': \('response'((?:, [^)]*)?)\).*?'msg': '([^']+)'"
    if found := re.search(wrong, f"{trouble.message} {trouble.detail}"):
        place = found[1].strip(", ") or "the whole value"
        return f"FastAPI checks what the route returns. At {place}: {found[2]}. Return such a value there."
    return (
        "The route returns a value that doesn't fit its return annotation. "
        "Return such a value, or correct the annotation."
    )


def _annotation(trouble: Trouble, sent: Sent) -> str | None:
    if "Invalid args for response field" in trouble.message:
        return (
            "The type of a parameter or of the result in this route can't be read from or written as JSON. "
            "Annotate it with a type such as str, dict or a Pydantic model."
        )
    return None


REDIS_OUTAGES = ("OutOfMemoryError", "ReadOnlyError", "MasterDownError")
"""Error replies of a Redis that can't do its work."""


def explain_redis(trouble: Trouble) -> str | None:
    if re.match("(OOM|MISCONF|READONLY|BUSY|LOADING|MASTERDOWN) ", trouble.message) or trouble.kind in REDIS_OUTAGES:
        return (
            f"An error reply of Redis is an outage too, and nothing catches redis.exceptions.{trouble.kind} in this "
            "line. Catch ResponseError where you catch ConnectionError, and raise BrokerUnavailable."
        )
    if trouble.kind in ("ResponseError", "NoScriptError", "DataError"):
        return f"Redis rejects this command or script. Correct it: the reason is {trouble.message!r}."
    if trouble.kind in ("ConnectionError", "TimeoutError", "BusyLoadingError"):
        return (
            f"Redis is unavailable, and nothing catches the redis.exceptions.{trouble.kind} in this line. "
            "Catch redis.exceptions.RedisError there, and handle the outage."
        )
    return None


def explain_jwt(trouble: Trouble) -> str | None:
    if '"algorithms"' in trouble.message:
        return 'jwt.decode() gets no list of accepted algorithms. Pass algorithms=["HS256"].'
    if trouble.kind == "InvalidKeyError":
        return (
            "PyJWT refuses the key, or the token's algorithm doesn't fit it, and nothing catches the InvalidKeyError. "
            "It isn't an InvalidTokenError: catch jwt.PyJWTError, the base class of both."
        )
    return (
        f"PyJWT refuses the token with {trouble.kind}, and nothing catches it. "
        "Catch jwt.PyJWTError, the base class of all errors of PyJWT, and reject the client."
    )


def _broker_unavailable(trouble: Trouble, sent: Sent) -> str | None:
    return (
        "Nothing catches the BrokerUnavailable in this line, so its task has ended. In a background task, catch it "
        "inside the loop, and go on; stop() ignores it."
    )


EXPLAIN: dict[str, Callable[[Trouble, Sent], str | None]] = {
    "AssertionError": _assertion,
    "AttributeError": _attribute_error,
    "BrokerUnavailable": _broker_unavailable,
    "ClientDisconnected": _disconnect,
    "FastAPIError": _annotation,
    "FileNotFoundError": _not_found,
    "HTTPException": _http_exception,
    "ImportError": _import_error,
    "JSONDecodeError": _json_error,
    "KeyError": _key_error,
    "KeyboardInterrupt": _exit,
    "ModuleNotFoundError": _import_error,
    "NameError": _name_error,
    "ProtocolError": _protocol,
    "QueueFull": _queue_full,
    "RecursionError": _recursion,
    "ResponseValidationError": _response,
    "RuntimeError": _runtime_error,
    "SyntaxError": _syntax,
    "SystemExit": _exit,
    "TimeoutError": _timeout,
    "TypeError": _type_error,
    "UnboundLocalError": _unbound,
    "UnicodeDecodeError": _decode_error,
    "UnicodeEncodeError": _encode_error,
    "ValidationError": _validation,
    "ValueError": _value_error,
    "WebSocketDisconnect": _disconnect,
    "WebSocketDisconnected": _runtime_error,
}
"""The function that explains an error, by the type of the error."""
