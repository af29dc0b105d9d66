"""Find out why an answer refuses a WebSocket handshake: one cause in the code, and its fix.

`handshake_probe.py` imports the answer in a separate process and calls its app with the same handshake. This module
starts that process, and turns the printed facts into a sentence. `routing.py` explains a path without a route.
"""

import asyncio
import json
import os
import re
import threading
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from workshop.process import end, start_module

from .routing import unrouted

PROBE_WITHIN = 5.0
"""Seconds after which the probe is killed."""
SOCKET_NAMES = re.compile(r"ws|sock|conn|client")
"""Parts of the names that learners give to the connection parameter."""
LIMITS = {
    "string_too_short": "min_length",
    "string_too_long": "max_length",
    "string_pattern_mismatch": "pattern",
    "greater_than": "gt",
    "greater_than_equal": "ge",
    "less_than": "lt",
    "less_than_equal": "le",
    "enum": "expected",
    "literal_error": "expected",
}
"""The key of the limit in the context of a Pydantic error, by the error's type."""
TYPES = {"int": "int", "float": "float", "bool": "bool", "uuid": "UUID", "date": "date", "datetime": "datetime"}
ACCEPTED_ALONE = (
    "Your code accepts this handshake if no other client is connected, so here something keeps it waiting: a call that "
    "blocks the event loop, such as time.sleep, or an await before accept() that depends on another client."
)

Facts = dict[str, Any]


async def why_refused(
    target: str, folder: Path, path: str, status: int, *, headers: dict[str, str] | None = None
) -> str | None:
    """Explain why the answer refused a WebSocket handshake.

    Args:
        target: uvicorn's name for the app, such as `exercise:app` or `exercise.main:app`.
        folder: the folder of the answer.
        path: the path and the query of the handshake, percent-encoded, such as `/ws/lobby?name=Ada`.
        status: the HTTP status of the refusal; 0 if there was no response.
        headers: additional HTTP headers of the handshake.

    Returns:
        One cause in the code and its fix, or None if no cause is found: the refusal may depend on the app's current
        state, and the probe starts a new app.
    """
    try:
        facts = await asyncio.to_thread(gather_facts, target, folder, path, headers or {})
        return explain(facts, path, status)
    except Exception:
        # Return None: an explanation that fails must not hide the refusal itself.
        return None


def gather_facts(target: str, folder: Path, path: str, headers: dict[str, str]) -> Facts:
    """Run the probe, and return the facts that it prints before it ends or the deadline passes.

    Args:
        target: see `why_refused`.
        folder: see `why_refused`.
        path: see `why_refused`.
        headers: see `why_refused`.
    """
    request = {"target": target, "folder": str(folder.resolve()), "path": path, "headers": headers}
    places = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {"PYTHONPATH": os.pathsep.join(places)}
    arguments = [json.dumps(request)]
    process = start_module("handshake_probe", arguments, environment, warm=True, path=[folder.resolve()])
    lines: list[bytes] = []
    reader = threading.Thread(target=lambda: lines.extend(process.stdout), daemon=True)
    reader.start()
    reader.join(PROBE_WITHIN)
    end(process)
    reader.join(1)
    if not reader.is_alive():
        # Close only then: a process outside the group may keep the pipe open, and close() would wait for the reader.
        process.stdout.close()
    facts: Facts = {"target": target}
    for line in list(lines):
        try:
            facts |= json.loads(line)
        except (ValueError, TypeError):
            continue
    return facts


def explain(facts: Facts, path: str, status: int) -> str | None:
    """Turn the facts of a probe into one cause and its fix.

    Args:
        facts: the result of `gather_facts`.
        path: the path and the query of the handshake.
        status: the HTTP status of the refusal.

    Returns:
        The sentence, or None if the probe got another result than the client.
    """
    if status == 404 and facts.get("library") is False:
        return (
            "uvicorn has no WebSocket library, so it treats the handshake as an HTTP request. "
            "Run pip install 'uvicorn[standard]'."
        )
    outcome = facts.get("outcome")
    if outcome and outcome["kind"] == "accepted" and status == 0:
        return ACCEPTED_ALONE
    if not outcome or outcome.get("status") != status:
        return None
    if outcome["kind"] == "unrouted":
        return unrouted(facts, path)
    taken = facts.get("taken") or {}
    if text := shadowed(facts, taken, path):
        return text
    if outcome["kind"] == "closed" and outcome["errors"]:
        return invalid(outcome["errors"], taken, path)
    if outcome["kind"] in ("closed", "response"):
        return refused(outcome, taken, status)
    if outcome["kind"] == "waiting":
        return waiting(outcome)
    return failed(outcome, taken)


def shadowed(facts: Facts, taken: Facts, path: str) -> str | None:
    """Explain a route with a parameter, or a mount, that matches the path of a later route."""
    asked = path.partition("?")[0]
    matching = [route for route in facts.get("routes") or [] if route["matches"] and route["kind"] != "http"]
    if matching and matching[0]["kind"] == "mount":
        return (
            f"app.mount({show(matching[0]['path'] or '/')}) comes before the WebSocket route and takes its path. "
            "Call app.mount() after all routes are declared."
        )
    for route in matching:
        if route["path"] == asked != taken.get("path", asked):
            return (
                f"The route {taken['path']} is declared before {asked}, and the first route that matches is used, "
                f"so {taken['function']}() gets this handshake. Declare {asked} first."
            )
    return None


def invalid(errors: list[Facts], taken: Facts, path: str) -> str | None:
    """Explain the first error of FastAPI's validation that has a cause.

    Args:
        errors: the errors that FastAPI puts into its close reason.
        taken: the endpoint, and where its parameters come from.
        path: the path and the query of the handshake.
    """
    missing = [str(each["loc"][-1]) for each in errors if each["type"] == "missing" and each["loc"][0] == "query"]
    if text := without_connection(missing, taken) or other_name_in_path(missing, taken):
        return text
    error = errors[0]
    part, *rest = error["loc"]
    name = str(rest[0]) if rest else ""
    taker = taken.get("takers", {}).get(f"{part} {name}") or taken.get("function") or "The endpoint"
    taker = f"{taker}()" if taker.isidentifier() else taker
    if part == "body":
        what = f"the parameter {name}" if name else "a parameter"
        return (
            f"{taker} has {what} that FastAPI reads from a request body, and a handshake has no body. "
            "Remove the parameter, and read messages with receive_json() after accept()."
        )
    if error["type"] == "missing":
        return missing_value(part, name, taker, path)
    return refused_value(error, part, name, taker)


def without_connection(missing: list[str], taken: Facts) -> str | None:
    """Explain a connection parameter that FastAPI treats as a query parameter."""
    parameters = taken.get("parameters", [])
    function = taken.get("function")
    for dependency, names in taken.get("dependencies", {}).items():
        for each in names:
            if each["name"] in missing and not each["annotated"] and SOCKET_NAMES.search(each["name"].lower()):
                return unannotated(each, dependency)
    if any(each["connection"] for each in parameters):
        return None
    if any(each["many"] and each["name"] in missing for each in parameters):
        return (
            f"A decorator replaces the endpoint {function}() with a function that takes *args, so FastAPI can't see "
            "the endpoint's parameters. Put @functools.wraps(function) above the decorator's inner function."
        )
    for each in parameters:
        if each["name"] in missing and (not each["annotated"] or SOCKET_NAMES.search(each["name"].lower())):
            return unannotated(each, function)
    return None


def unannotated(parameter: Facts, function: str | None) -> str:
    """Explain a parameter without the annotation WebSocket."""
    name = parameter["name"]
    how = "isn't annotated with WebSocket" if parameter["annotated"] else "has no annotation"
    return (
        f"The parameter {name} of {function}() {how}, so FastAPI takes it for a query parameter. "
        f"Write {name}: WebSocket."
    )


def other_name_in_path(missing: list[str], taken: Facts) -> str | None:
    """Explain a path parameter whose name differs from the function's parameter."""
    takers = taken.get("takers", {})
    unused = [name for name in taken.get("path_parameters", []) if f"path {name}" not in takers]
    if len(unused) == 1 and missing:
        close = get_close_matches(unused[0], missing, 1, 0.3)
        name = close[0] if close else missing[0]
        taker = takers.get(f"query {name}") or taken.get("function")
        return (
            f"The path {taken['path']} has {{{unused[0]}}}, and {taker}() calls it {name}, so FastAPI takes {name} "
            f"for a query parameter. Write {{{name}}} in the path."
        )
    return None


def missing_value(part: str, name: str, taker: str, path: str) -> str:
    """Explain a parameter that the client doesn't send."""
    sent = [key for key, _ in parse_qsl(path.partition("?")[2], keep_blank_values=True)]
    if part != "query":
        return (
            f"{taker} requires the {part} {name}, and the client doesn't send it. "
            f"Give the parameter a default value, or read it from where the client sends it."
        )
    if sent:
        other = (get_close_matches(name, sent, 1, 0.5) or sent)[0]
        return (
            f"{taker} requires the query parameter {name}, and the client sends {other} instead. "
            f"Rename the parameter to {other}, or set its alias: Query(alias={show(other)})."
        )
    return (
        f"{taker} requires the query parameter {name}, and the client sends no query. "
        f"Give {name} a default value, or remove it."
    )


def refused_value(error: Facts, part: str, name: str, taker: str) -> str:
    """Explain a value that FastAPI doesn't accept."""
    value = show(error.get("input"))
    what = f"the {part} parameter {name}" if part in ("path", "query") else f"the {part} {name}"
    kind = error["type"].removesuffix("_parsing").removesuffix("_type")
    if kind in TYPES and error["type"].endswith(("_parsing", "_type")):
        return f"{taker} declares {what} as {TYPES[kind]}, and the client sends {value}. Annotate {name} with str."
    limit = LIMITS.get(error["type"])
    if limit and limit in error.get("ctx", {}):
        bound = error["ctx"][limit]
        rule = f"one of {bound}" if limit == "expected" else f"{limit}={show(bound) if limit == 'pattern' else bound}"
        length = f", which has {len(error['input'])} characters" if limit.endswith("_length") else ""
        return (
            f"{taker} limits {what} to {rule}, and the client sends {value}{length}. "
            "Change the limit so that it accepts this value."
        )
    reason = error.get("msg", "invalid")
    return f"{taker} refuses {value} for {what}: {reason}. Change the rule so that it accepts this value."


def refused(outcome: Facts, taken: Facts, status: int) -> str | None:
    """Explain a refusal by the answer's own code, by an exception, or by a middleware."""
    error = outcome.get("raised")
    if error is not None:
        if error["security"]:
            return (
                f"A security class of FastAPI finds no credentials in this handshake, so it raises {error['type']} "
                f"with status {status}. Read the credentials from where the client sends them."
            )
        if error["place"] is None:
            return None
        raised = f"{error['type']}({error['code']})" if error["code"] else error["text"]
        then = f", which refuses the handshake with HTTP {status}"
        return (
            f"{function_at(error['place'], taken)} raises {raised} before accept() in {at(error['place'])}{then}. "
            "Correct the condition that leads there."
        )
    if outcome.get("middleware"):
        name = outcome["middleware"]
        return f"The middleware {name} refuses the handshake with HTTP {status}. Change its settings, or remove it."
    place = outcome.get("place")
    if place is None:
        return None
    what = f"closes the connection before accept() in {at(place)}"
    if outcome["kind"] == "response":
        return (
            f"{function_at(place, taken)} sends a response with HTTP {status} before accept() in {at(place)}. "
            "Correct the condition that leads there."
        )
    caught = outcome.get("handled")
    if caught:
        return (
            f"{function_at(place, taken)} catches {caught['text']}{from_line(caught)}, and {what}. Correct that error."
        )
    if place["function"] == taken.get("function") and not outcome["conditional"]:
        return (
            f"{place['function']}() {what}, so the client gets HTTP {status} and no close code. "
            "Call await websocket.accept() first."
        )
    return (
        f"{function_at(place, taken)} {what}, so the client gets HTTP {status}. Correct the condition that leads there."
    )


def waiting(outcome: Facts) -> str | None:
    """Explain an endpoint that neither accepts nor refuses."""
    place = outcome.get("place")
    if place is None:
        return None
    waits = f"{place['function']}() waits in {at(place)} and hasn't accepted"
    return f"{waits}. Call await websocket.accept() before that line."


def failed(outcome: Facts, taken: Facts) -> str | None:
    """Explain an endpoint that raised or returned before it accepted: HTTP 500."""
    function = taken.get("function") or "The endpoint"
    error = outcome.get("error")
    if taken and not taken["async"]:
        return (
            f"{function}() is declared with def, and FastAPI awaits the endpoint of a WebSocket route. "
            f"Write async def {function}."
        )
    if outcome.get("unawaited"):
        return f"{function}() calls accept() without await, so the call does nothing. Write await websocket.accept()."
    if not taken and error is None:
        return None
    if taken and not any(each["connection"] or each["many"] for each in taken["parameters"]) and not taken["requests"]:
        return (
            f"{function}() has no parameter for the connection, so it can't accept it. "
            f"Write async def {function}(websocket: WebSocket) and call await websocket.accept()."
        )
    if error is None:
        return f"{function}() returns before it accepts the connection. Call await websocket.accept() first."
    place = error["place"]
    if place is None:
        return without_request(error, taken)
    if re.search(r'Need to call "accept" first|Expected ASGI message ["\']websocket\.accept', error["text"]):
        return (
            f"{place['function']}() sends or receives in {at(place)} before it accepts the connection. "
            "Call await websocket.accept() first."
        )
    return f"{function_at(place, taken)} raises {error['text']} before accept() in {at(place)}. Correct that line."


def without_request(error: Facts, taken: Facts) -> str | None:
    """Explain a parameter that's annotated with Request."""
    found = re.search(r"(\w+)\(\) missing \d+ required positional arguments?: '(\w+)'", error["text"])
    for function, name in taken.get("requests", []):
        if found and [function, name] == [found[1], found[2]]:
            both = any(each["connection"] for each in taken["parameters"])
            fix = f"Remove {name}, and use the WebSocket" if both else f"Write {name}: WebSocket"
            return f"{function}() takes {name}: Request, and FastAPI passes a Request only to HTTP routes. {fix}."
    return None


def function_at(place: Facts, taken: Facts) -> str:
    """Return the name of the function at a place, with its kind if it isn't the endpoint."""
    name = place["function"]
    if name == taken.get("function") or name == "<module>":
        return f"{name}()"
    return f"The middleware ({name}())" if name in ("__call__", "dispatch") else f"The function {name}()"


def from_line(error: Facts) -> str:
    """Return the line that an exception comes from; empty if it isn't in the answer."""
    return f" from {at(error['place'])}" if error["place"] else ""


def at(place: Facts) -> str:
    """Return a line of the answer, as its file and its number."""
    return f"{place['file']}:{place['line']}"


def show(value: object) -> str:
    """Return a value as JSON, with at most 60 characters."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = text if len(text) <= 60 else f"{text[:57]}..."
    return json.dumps(text, ensure_ascii=False) if isinstance(value, str) else text
