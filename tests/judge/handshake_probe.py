"""Call an answer's app with one WebSocket handshake, in a separate process, and print the outcome as JSON.

    python -m handshake_probe '{"target": "exercise:app", "folder": "steps/02_echo", "path": "/ws", "headers": {}}'

`refusals.py` starts it and turns the facts into a sentence. Each printed line is an object that adds to the previous
ones, because a later part, such as the answer's own endpoint, may hang or end the process.
"""

import ast
import asyncio
import gc
import importlib
import importlib.util
import inspect
import json
import os
import re
import sys
import traceback
import typing
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any
from urllib.parse import unquote

import fastapi.routing
from fastapi import APIRouter, FastAPI
from starlette.requests import HTTPConnection, Request
from starlette.routing import Match, Mount, WebSocketRoute, compile_path

ANSWERS_WITHIN = 2.0
"""Seconds to wait for the result of the lifespan, and then for that of the endpoint."""
OUTPUT = sys.stdout
UNAWAITED = re.compile(r"coroutine 'WebSocket\.accept' was never awaited")


class Probe:
    """One handshake for one app.

    Args:
        folder: the folder of the answer.
        path: the path and the query, percent-encoded.
        headers: additional HTTP headers.
    """

    def __init__(self, folder: Path, path: str, headers: dict[str, str]) -> None:
        self.folder = folder
        self.raw_path, _, self.query = path.partition("?")
        self.path = unquote(self.raw_path)
        self.headers = [(b"host", b"127.0.0.1"), (b"upgrade", b"websocket"), (b"connection", b"Upgrade")]
        self.headers += [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
        self.unawaited = False
        self.unrouted = False

    # The parts of the app.

    def routes(self, routes: Any, prefix: str = "") -> Iterator[tuple[str, str, Any]]:
        """Yield the kind, the full path and the route for each route, including included routers and mounted apps."""
        for route in fastapi.routing.iter_route_contexts(routes):
            path = prefix + (route.path or "")
            inner = getattr(route, "routes", None)
            if inner:
                yield from self.routes(inner, path)
            elif isinstance(route.original_route, Mount):
                yield "mount", path, route
            elif path and route.endpoint is not None:
                yield ("websocket" if isinstance(route.original_route, WebSocketRoute) else "http"), path, route

    def matches(self, path: str) -> bool:
        """Return whether a route with this path matches the requested path."""
        return bool(compile_path(path)[0].match(self.path))

    def listing(self, app: Any) -> list[dict[str, Any]]:
        """Return the routes of an app, except those of FastAPI's documentation."""
        own = ("openapi_url", "docs_url", "redoc_url", "swagger_ui_oauth2_redirect_url")
        left_out = {getattr(app, name, None) for name in own}
        return [
            {
                "kind": kind,
                "path": path,
                "methods": sorted(route.methods or []),
                "function": name_of(route.endpoint),
                "matches": self.path.startswith(f"{path}/") if kind == "mount" else self.matches(path),
            }
            for kind, path, route in self.routes(app.routes)
            if path not in left_out
        ]

    def taken(self, app: Any) -> dict[str, Any] | None:
        """Return the endpoint that the handshake reaches, and where its parameters come from."""
        for kind, path, route in self.routes(app.routes):
            if kind == "websocket" and self.matches(path):
                dependants = list(flat(getattr(route, "dependant", None)))
                parts = ("path", "query", "header", "cookie", "body")
                takers = {
                    f"{part} {getattr(field, 'alias', field.name)}": name_of(getattr(dependant, "call", None))
                    for dependant in reversed(dependants)
                    for part in parts
                    for field in getattr(dependant, f"{part}_params", [])
                }
                return {
                    "function": name_of(route.endpoint),
                    "path": path,
                    "async": is_async(route.endpoint),
                    "parameters": parameters_of(route.endpoint),
                    "dependencies": {
                        name_of(each.call): parameters_of(each.call)
                        for each in dependants[1:]
                        if getattr(each, "call", None) is not None
                    },
                    "requests": requests_of([getattr(each, "call", None) for each in dependants]),
                    "path_parameters": list(compile_path(path)[2]),
                    "takers": takers,
                }
        return None

    def lost(self, app: Any) -> list[dict[str, Any]]:
        """Return WebSocket routes on other apps and routers, and functions that call accept() and have no route."""
        served = {id(route.endpoint) for _, _, route in self.routes(app.routes)}
        # Search all objects: a router whose variable was reassigned still exists, because the collector is off.
        objects = [each for each in gc.get_objects() if issubclass(type(each), (FastAPI, APIRouter))]
        apps = {id(each.router): each for each in objects if isinstance(each, FastAPI)}
        found = []
        known = set(served)
        for router in objects:
            if not isinstance(router, APIRouter):
                continue
            owner = apps.get(id(router), router)
            for kind, path, route in self.routes(router.routes):
                known.add(id(route.endpoint))
                if kind == "websocket" and id(route.endpoint) not in served:
                    place = {"kind": "app" if isinstance(owner, FastAPI) else "router", "path": path}
                    found.append(place | self.variable_of(owner) | {"function": name_of(route.endpoint)})
        for module in self.modules():
            for name, value in list(vars(module).items()):
                place = {"variable": name, "module": module.__name__}
                qualified = getattr(value, "__qualname__", "")
                if re.fullmatch(r"(FastAPI|APIRouter)\.websocket\.<locals>\.decorator", qualified):
                    found.append({"kind": "no path", "path": ""} | place)
                elif inspect.iscoroutinefunction(value) and id(value) not in known and value.__module__ in sys.modules:
                    if value.__module__ == module.__name__ and ".accept(" in source_of(value):
                        found.append({"kind": "function", "path": ""} | place)
        return found

    def modules(self) -> list[ModuleType]:
        """Return the imported modules of the answer."""
        return [module for module in list(sys.modules.values()) if self.is_own(getattr(module, "__file__", None))]

    def variable_of(self, value: object) -> dict[str, str | None]:
        """Return the module and the variable of the answer that refer to this object."""
        for module in self.modules():
            for name, other in list(vars(module).items()):
                if other is value:
                    return {"module": module.__name__, "variable": name}
        return {"module": None, "variable": None}

    def is_own(self, file: str | None) -> bool:
        """Return whether a file belongs to the answer."""
        return bool(file) and Path(file).resolve().is_relative_to(self.folder)

    # The outcome of the handshake.

    def place(self, frames: list[tuple[str, int, str]]) -> dict[str, Any] | None:
        """Return the answer's innermost line in these frames: outermost first, each a file, a line and a function."""
        for file, line, function in reversed(frames):
            if self.is_own(file):
                name = Path(file).resolve().relative_to(self.folder).as_posix()
                return {"file": name, "line": line, "function": function}
        return None

    def described(self, error: BaseException) -> dict[str, Any]:
        """Return the facts about an exception, and the answer's line that it comes from."""
        frames = [(each.filename, each.lineno or 0, each.name) for each in traceback.extract_tb(error.__traceback__)]
        text = "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
        security = frames and "fastapi/security" in Path(frames[-1][0]).as_posix()
        return {
            "type": type(error).__name__,
            "text": re.sub(r"^(?:\w+\.)+(?=\w+(?::|$))", "", text)[:200],
            "place": self.place(frames),
            "security": bool(security),
            "code": getattr(error, "status_code", getattr(error, "code", None)),
        }

    def sender(self, frame: FrameType | None) -> dict[str, Any]:
        """Return the sender of a message: a line of the answer, a handled exception, or a middleware."""
        handled = sys.exception()
        middleware = None
        while frame is not None:
            file = frame.f_code.co_filename
            if self.is_own(file):
                place = self.place([(file, frame.f_lineno, frame.f_code.co_name)])
                conditional = is_conditional(file, frame.f_lineno)
                return {
                    "place": place,
                    "conditional": conditional,
                    "handled": self.described(handled) if handled else None,
                }
            where = Path(file).as_posix()
            if where.endswith("starlette/_exception_handler.py"):
                error = frame.f_locals.get("exc")
                if isinstance(error, BaseException):
                    return {"raised": self.described(error)}
            name = type(frame.f_locals.get("self")).__name__
            if "starlette/middleware/" in where and name not in ("ExceptionMiddleware", "ServerErrorMiddleware"):
                middleware = middleware or name
            frame = frame.f_back
        return {"middleware": middleware}

    async def run(self, app: Any) -> dict[str, Any]:
        """Call the app as uvicorn does.

        Returns:
            The outcome: its kind and its HTTP status.
        """
        state = await self.start(app)
        if state is None:
            return {"kind": "no lifespan"}
        scope = {
            "type": "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "ws",
            "server": ("127.0.0.1", 8000),
            "client": ("127.0.0.1", 50000),
            "root_path": "",
            "path": self.path,
            "raw_path": self.raw_path.encode("ascii"),
            "query_string": self.query.encode("ascii"),
            "headers": self.headers,
            "subprotocols": [],
            "state": dict(state),
            "extensions": {"websocket.http.response": {}},
        }
        result: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        asked = False

        def ends(outcome: dict[str, Any]) -> None:
            if not result.done():
                result.set_result(outcome)

        async def receive() -> dict[str, Any]:
            nonlocal asked
            if asked:
                await asyncio.Event().wait()
            asked = True
            return {"type": "websocket.connect"}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "websocket.accept":
                ends({"kind": "accepted", "status": 101})
                await asyncio.Event().wait()
            elif message["type"] == "websocket.close":
                reason = message.get("reason")
                errors = json_safe(reason) if isinstance(reason, list) else None
                ends({"kind": "closed", "status": 403, "errors": errors} | self.sender(sys._getframe(1)))
            elif message["type"] == "websocket.http.response.start":
                ends({"kind": "response", "status": message["status"]} | self.sender(sys._getframe(1)))
            elif message["type"] != "websocket.http.response.body":
                raise RuntimeError(f"Expected ASGI message 'websocket.accept', but got '{message['type']}'.")

        async def call() -> None:
            try:
                await app(scope, receive, send)
            except BaseException as error:
                ends({"kind": "raised", "status": 500, "error": self.described(error)})
            else:
                ends({"kind": "returned", "status": 500})

        task = asyncio.create_task(call())
        await asyncio.wait({result}, timeout=ANSWERS_WITHIN)
        if not result.done():
            ends({"kind": "waiting", "status": 0, "place": self.place(suspended(task.get_coro()))})
        return result.result() | {"unawaited": self.unawaited}

    async def start(self, app: Any) -> dict[str, Any] | None:
        """Run the lifespan up to its yield.

        Returns:
            The state that the lifespan yields, or None if it fails.
        """
        state: dict[str, Any] = {}
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        started = False

        async def receive() -> dict[str, Any]:
            nonlocal started
            if started:
                await asyncio.Event().wait()
            started = True
            return {"type": "lifespan.startup"}

        async def send(message: dict[str, Any]) -> None:
            if not done.done():
                done.set_result(message["type"] == "lifespan.startup.complete")

        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": state}
        # Keep a reference: a task without one may be garbage-collected.
        self.lifespan = asyncio.ensure_future(app(scope, receive, send))
        await asyncio.wait({self.lifespan, done}, timeout=ANSWERS_WITHIN, return_when=asyncio.FIRST_COMPLETED)
        # As uvicorn does, continue if the app has no lifespan.
        return state if self.lifespan.done() and not done.done() or done.done() and done.result() else None

    def warned(self, message: Warning | str, *_: object, **__: object) -> None:
        """Record a call of accept() without await, for which Python prints a warning."""
        self.unawaited = self.unawaited or bool(UNAWAITED.search(str(message)))


def name_of(function: Any) -> str | None:
    """Return the name of a function, or of an object's class."""
    return getattr(function, "__name__", type(function).__name__) if function is not None else None


def source_of(function: Any) -> str:
    """Return the source code of a function, or an empty string."""
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return ""


def is_conditional(file: str, line: int) -> bool:
    """Return whether a line is inside an if, a match, a loop or an except."""
    blocks = (ast.If, ast.Match, ast.While, ast.For, ast.AsyncFor, ast.ExceptHandler, ast.IfExp)
    try:
        tree = ast.parse(Path(file).read_text("utf-8"))
    except (OSError, ValueError, SyntaxError):
        return False
    return any(isinstance(each, blocks) and each.lineno <= line <= (each.end_lineno or 0) for each in ast.walk(tree))


def is_async(function: Any) -> bool:
    """Return whether a call of this endpoint returns an awaitable."""
    function = inspect.unwrap(function)
    return inspect.iscoroutinefunction(function) or not inspect.isroutine(function)


def annotation_of(parameter: inspect.Parameter) -> Any:
    """Return the type of a parameter, without the metadata of Annotated."""
    if typing.get_origin(parameter.annotation) is typing.Annotated:
        return typing.get_args(parameter.annotation)[0]
    return parameter.annotation


def is_kind(parameter: inspect.Parameter, *kinds: type) -> bool:
    """Return whether a parameter is annotated with one of these classes."""
    annotation = annotation_of(parameter)
    return isinstance(annotation, type) and issubclass(annotation, kinds)


def signature_of(function: Any) -> list[inspect.Parameter]:
    """Return the parameters of a function."""
    for eval_str in (True, False):
        try:
            return list(inspect.signature(function, eval_str=eval_str).parameters.values())
        except Exception:
            continue
    return []


def parameters_of(function: Any) -> list[dict[str, Any]]:
    """Return the facts about an endpoint's parameters: their names, and which one is the connection."""
    return [
        {
            "name": each.name,
            "annotated": annotation_of(each) is not inspect.Parameter.empty,
            "connection": is_kind(each, HTTPConnection) and not is_kind(each, Request),
            "many": each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD),
        }
        for each in signature_of(function)
    ]


def requests_of(functions: list[Any]) -> list[list[str | None]]:
    """Return the functions that have a Request parameter, and the name of that parameter."""
    return [[name_of(call), each.name] for call in functions for each in signature_of(call) if is_kind(each, Request)]


def flat(dependant: Any) -> Iterator[Any]:
    """Yield FastAPI's model of a function's parameters, and those of its dependencies."""
    if dependant is not None:
        yield dependant
        for each in getattr(dependant, "dependencies", []):
            yield from flat(each)


def suspended(coroutine: Any) -> list[tuple[str, int, str]]:
    """Return the lines where a coroutine and those that it awaits are suspended, outermost first."""
    frames = []
    while frame := getattr(coroutine, "cr_frame", None):
        frames.append((frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name))
        coroutine = coroutine.cr_await
    return frames


def json_safe(value: Any) -> Any:
    """Return the same value, with strings for values that JSON can't encode."""
    return json.loads(json.dumps(value, default=str))


def emit(**facts: Any) -> None:
    """Print some facts."""
    print(json.dumps(facts, default=str), file=OUTPUT, flush=True)


def own_output() -> Any:
    """Discard the output of the answer, and return the stream for the facts."""
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    return stream


def main() -> None:
    """Import the answer, list its routes, and call its app."""
    global OUTPUT
    OUTPUT = own_output()
    request = json.loads(sys.argv[1])
    folder = Path(request["folder"]).resolve()
    # Remove this folder: an answer that imports rooms must not get the judge's module.
    here = Path(__file__).parent
    sys.path = [str(folder), *(entry for entry in sys.path if Path(entry).resolve() != here)]
    emit(library=any(importlib.util.find_spec(name) for name in ("websockets", "wsproto")))
    gc.disable()
    probe = Probe(folder, request["path"], request["headers"])
    warnings.simplefilter("always")
    warnings.showwarning = probe.warned
    module, _, attribute = request["target"].partition(":")
    app = importlib.import_module(module)
    for name in attribute.split("."):
        app = getattr(app, name)
    listed = False
    try:
        emit(routes=(routes := probe.listing(app)), taken=probe.taken(app))
        listed = True
    except Exception:
        # Omit the listing: this is another kind of app, or another version of FastAPI.
        routes = []
    if listed and not any(route["kind"] == "websocket" and route["matches"] for route in routes):
        emit(outcome={"kind": "unrouted", "status": 403}, lost=probe.lost(app))
        if "." in module:
            # Import the other modules: one that main.py doesn't import may contain the router.
            for file in sorted((folder / module.partition(".")[0]).glob("*.py")):
                if file.stem not in ("__init__", "__main__"):
                    try:
                        importlib.import_module(f"{module.rpartition('.')[0]}.{file.stem}")
                    except BaseException:
                        continue
            emit(lost=probe.lost(app))
        return
    if not listed:
        scope = {"type": "websocket", "path": probe.path, "root_path": "", "headers": [], "query_string": b""}
        if all(route.matches(dict(scope))[0] == Match.NONE for route in getattr(app, "routes", [])):
            emit(outcome={"kind": "unrouted", "status": 403})
            return
    emit(outcome=asyncio.run(probe.run(app)))


if __name__ == "__main__":
    try:
        main()
    finally:
        # Exit immediately: the answer's threads and tasks must not keep this process alive.
        os._exit(0)
