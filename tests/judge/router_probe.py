"""Run an answer of step 04 with an additional route on each router, and report facts about the app.

    ANSWER=steps/04_router uvicorn router_probe:app --app-dir tests/judge

A rule that's set on the router also applies to these new routes; a rule that each endpoint repeats
doesn't. The probe requests these routes, and ignores the names and the style of the answer's code.
"""

import asyncio
import gc
import importlib
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastapi import APIRouter, WebSocket
from handshake_probe import Probe, flat, name_of
from starlette.routing import NoMatchFound
from starlette.types import ASGIApp, Message, Receive, Scope, Send

sys.path.insert(0, os.environ["ANSWER"])
app = importlib.import_module("exercise.main").app


def router_of(name: str) -> APIRouter | str:
    """Return the router of a module of the answer, or a string that states why there's none."""
    try:
        module = importlib.import_module(f"exercise.{name}")
    except ModuleNotFoundError as error:
        if error.name == f"exercise.{name}":
            return f"there is no exercise/{name}.py"
        return f"importing exercise/{name}.py raises {type(error).__name__}: {error}"
    except Exception as error:
        return f"importing exercise/{name}.py raises {type(error).__name__}: {error}"
    router = getattr(module, "router", None)
    if router is None:
        return f"exercise/{name}.py has no router"
    return router if isinstance(router, APIRouter) else f"exercise.{name}.router is no APIRouter"


async def probe_socket(websocket: WebSocket) -> None:
    await websocket.accept()


async def probe_lobby() -> None:
    """Do nothing: this route only has to exist."""


chat, lobby = router_of("chat"), router_of("lobby")
documentation = {app.openapi_url, app.docs_url, app.redoc_url, app.swagger_ui_oauth2_redirect_url}
# Skip entries without a path: an included router doesn't have one.
own_routes = [route for route in app.routes if getattr(route, "path", None) not in (None, *documentation)]
in_main = [route.path for route in own_routes if (route.path, getattr(route, "methods", None)) != ("/", {"GET"})]
if isinstance(chat, APIRouter):
    chat.add_api_websocket_route("/probe/socket", probe_socket, name="probe_socket")
if isinstance(lobby, APIRouter):
    lobby.add_api_route("/probe", probe_lobby, name="probe_lobby")


def path_of(name: str) -> str | None:
    """Return the full path of a new route, or None if its router isn't part of the app."""
    try:
        return str(app.url_path_for(name))
    except NoMatchFound:
        return None


def background() -> Iterator[str]:
    """Yield the functions that ask for BackgroundTasks on a WebSocket route, where FastAPI never runs them."""
    for kind, _, route in found:
        for each in flat(getattr(route, "dependant", None)) if kind == "websocket" else ():
            if getattr(each, "background_tasks_param_name", None):
                yield name_of(each.call)


found = list(Probe(Path(os.environ["ANSWER"]), "/", {}).routes(app.routes))
listed = [
    f"GET {path}"
    for kind, path, route in found
    if kind == "http" and "GET" in (route.methods or ()) and path not in documentation and not path.endswith("/probe")
]


class Slow:
    """A middleware that slows listeners down, by the name in their query.

    Each send to a listener named Before or After is suspended, before or after the send itself, until
    GET /judge-release. That's how a send to a slow listener waits, and a check can inspect the answer meanwhile. The
    connection of a listener named Narrow has small buffers in the server, so a few dozen announcements fill them.
    """

    gate = asyncio.Condition()
    held = 0

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        query = scope.get("query_string")
        side = {b"name=Before": "before", b"name=After": "after"}.get(query)
        if query == b"name=Narrow":
            small_buffers(send)

        async def held_send(message: Message) -> None:
            sends = message["type"] == "websocket.send"
            if sends and side == "before":
                await self.hold()
            await send(message)
            if sends and side == "after":
                await self.hold()

        await self.app(scope, receive, held_send if side else send)

    @classmethod
    async def hold(cls) -> None:
        async with cls.gate:
            cls.held += 1
            try:
                await cls.gate.wait()
            finally:
                cls.held -= 1


def small_buffers(send: Any) -> None:
    """Make the buffers of a connection as small as the operating system allows."""
    transport = send.__self__.transport
    transport.set_write_buffer_limits(high=0)
    duplicate = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
    duplicate.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1024)
    duplicate.close()


app.add_middleware(Slow)


def connections() -> int:
    """Return the number of WebSocket objects that the answer still references."""
    gc.collect()
    return sum(isinstance(each, WebSocket) for each in gc.get_objects())


@app.get("/judge-release")
async def release() -> None:
    async with Slow.gate:
        Slow.gate.notify_all()


@app.get("/judge-facts")
async def facts() -> dict[str, object]:
    return {
        "chat": chat if isinstance(chat, str) else None,
        "lobby": lobby if isinstance(lobby, str) else None,
        "in_main": in_main,
        "probe_socket": path_of("probe_socket"),
        "probe_lobby": path_of("probe_lobby"),
        "held": Slow.held,
        "connections": connections() if os.environ.get("PURPOSE") == "connections" else None,
        "background": sorted(set(background())),
        "listed": listed,
    }
