"""Why an answer refuses a handshake: each mistake is refused by real uvicorn, and its cause is named."""

import asyncio
import time
from pathlib import Path

import pytest
from judge.clients import handshake
from judge.refusals import PROBE_WITHIN, explain, gather_facts, why_refused
from workshop.course import find_step
from workshop.server import Server

IMPORTS = """
import asyncio
import sys
import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Query, Request, WebSocket, WebSocketException
from fastapi.security import OAuth2PasswordBearer
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel
"""

PATHS = {
    "prefix twice": (
        """
        router = APIRouter(prefix="/api/chat")
        @router.websocket("/api/chat/ws/{room_id}")
        async def chat(websocket: WebSocket, room_id: str): await websocket.accept()
        app = FastAPI()
        app.include_router(router)
        """,
        "/api/chat/ws/lobby",
        "route /api/chat/api/chat/ws/{room_id}, and the client asked for /api/chat/ws/lobby: /api/chat is there twice",
    ),
    "prefix in both": (
        """
        router = APIRouter(prefix="/api/chat")
        @router.websocket("/ws/{room_id}")
        async def chat(websocket: WebSocket, room_id: str): await websocket.accept()
        app = FastAPI()
        app.include_router(router, prefix="/api/chat")
        """,
        "/api/chat/ws/lobby",
        "/api/chat is there twice. Set it once",
    ),
    "prefix missing": (
        """
        router = APIRouter()
        @router.websocket("/ws/{room_id}")
        async def chat(websocket: WebSocket, room_id: str): await websocket.accept()
        app = FastAPI()
        app.include_router(router)
        """,
        "/api/chat/ws/lobby?name=Ada",
        "/api/chat is missing at the beginning. Set it in APIRouter(prefix=...)",
    ),
    "half a prefix": (
        """
        router = APIRouter(prefix="/api")
        @router.websocket("/ws/{room_id}")
        async def chat(websocket: WebSocket, room_id: str): await websocket.accept()
        app = FastAPI()
        app.include_router(router)
        """,
        "/api/chat/ws/lobby",
        "/chat is missing in the middle",
    ),
    "prefix too much": (
        """
        app = FastAPI()
        @app.websocket("/chat/ws/{room_id}")
        async def chat(websocket: WebSocket, room_id: str): await websocket.accept()
        """,
        "/ws/lobby",
        "/chat at the beginning is too much",
    ),
    "slash surplus": (
        """
        app = FastAPI()
        @app.websocket("/ws/")
        async def echo(websocket: WebSocket): await websocket.accept()
        """,
        "/ws",
        "the route ends with a slash. Remove it",
    ),
    "slash surplus after a parameter": (
        """
        app = FastAPI()
        @app.websocket("/ws/{room_id}/")
        async def chat(websocket: WebSocket, room_id: str): await websocket.accept()
        """,
        "/ws/lobby",
        "the route ends with a slash. Remove it",
    ),
    "slash missing": (
        """
        app = FastAPI()
        @app.websocket("/ws")
        async def echo(websocket: WebSocket): await websocket.accept()
        """,
        "/ws/",
        "the slash at the end is missing",
    ),
    "two slashes": (
        """
        app = FastAPI()
        @app.websocket("//ws")
        async def echo(websocket: WebSocket): await websocket.accept()
        """,
        "/ws",
        "two slashes in a row",
    ),
    "space": (
        """
        app = FastAPI()
        @app.websocket("/ws ")
        async def echo(websocket: WebSocket): await websocket.accept()
        """,
        "/ws",
        "has a space in its path",
    ),
    "case": (
        """
        app = FastAPI()
        @app.websocket("/WS/{room_id}")
        async def chat(websocket: WebSocket, room_id: str): await websocket.accept()
        """,
        "/ws/Lobby",
        "paths are case-sensitive",
    ),
    "spelling": (
        """
        app = FastAPI()
        @app.websocket("/ws/announcments")
        async def announcements(websocket: WebSocket): await websocket.accept()
        """,
        "/ws/announcements",
        "announcments is spelled announcements",
    ),
    "other word": (
        """
        app = FastAPI()
        @app.websocket("/echo")
        async def echo(websocket: WebSocket): await websocket.accept()
        """,
        "/ws",
        "the route has echo, and the client sends ws",
    ),
    "no braces": (
        """
        app = FastAPI()
        @app.websocket("/ws/room_id")
        async def chat(websocket: WebSocket, room_id: str): await websocket.accept()
        """,
        "/ws/lobby",
        "room_id has no braces, so it isn't a path parameter. Write {room_id}",
    ),
    "braces of Flask": (
        """
        app = FastAPI()
        @app.websocket("/ws/<room_id>")
        async def chat(websocket: WebSocket, room_id: str): await websocket.accept()
        """,
        "/ws/lobby",
        "<room_id> isn't a path parameter. Write {room_id}",
    ),
    "convertor": (
        """
        app = FastAPI()
        @app.websocket("/ws/{room_id:int}")
        async def chat(websocket: WebSocket, room_id: int): await websocket.accept()
        """,
        "/ws/lobby",
        "{room_id:int} matches only values of type int. Write {room_id}",
    ),
    "slash in a value": (
        """
        app = FastAPI()
        @app.websocket("/ws/{room_id}")
        async def chat(websocket: WebSocket, room_id: str): await websocket.accept()
        """,
        "/ws/a%2Fb?name=Ada",
        "{room_id} doesn't match a slash. Write {room_id:path}",
    ),
    "parameter missing": (
        """
        app = FastAPI()
        @app.websocket("/ws")
        async def chat(websocket: WebSocket, room_id: str = "lobby"): await websocket.accept()
        """,
        "/ws/lobby",
        'no path parameter for "lobby". Add one to the path, as in /ws/{room_id}',
    ),
    "name in the path": (
        """
        app = FastAPI()
        @app.websocket("/ws/{room_id}/{name}")
        async def chat(websocket: WebSocket, room_id: str, name: str): await websocket.accept()
        """,
        "/ws/lobby?name=Ada",
        "the client sends name in the query. Remove /{name} from the path",
    ),
    "several routes": (
        """
        app = FastAPI()
        @app.websocket("/one/two/three")
        async def one(websocket: WebSocket): await websocket.accept()
        @app.websocket("/four/five")
        async def two(websocket: WebSocket): await websocket.accept()
        """,
        "/ws",
        "WebSocket routes",
    ),
    "mounted": (
        """
        app = FastAPI()
        inner = FastAPI()
        @inner.websocket("/ws/{room_id}")
        async def chat(websocket: WebSocket, room_id: str): await websocket.accept()
        app.mount("/api", inner)
        """,
        "/ws/lobby",
        "route /api/ws/{room_id}, and the client asked for /ws/lobby: /api at the beginning is too much",
    ),
    "HTTP": (
        """
        app = FastAPI()
        @app.get("/ws/{room_id}")
        async def chat(websocket: WebSocket, room_id: str): await websocket.accept()
        """,
        "/ws/lobby",
        "chat() is an HTTP route (GET /ws/{room_id}), and the client opens a WebSocket",
    ),
    "no include": (
        """
        router = APIRouter(prefix="/api/chat")
        @router.websocket("/ws/{room_id}")
        async def chat(websocket: WebSocket, room_id: str): await websocket.accept()
        app = FastAPI()
        """,
        "/api/chat/ws/lobby",
        "is on router in exercise.py, and your app doesn't include that router. Call app.include_router(router)",
    ),
    "router created twice": (
        """
        app = FastAPI()
        router = APIRouter()
        @router.websocket("/ws")
        async def echo(websocket: WebSocket): await websocket.accept()
        router = APIRouter()
        app.include_router(router)
        """,
        "/ws",
        "on an APIRouter() that another one replaces",
    ),
    "app created twice": (
        """
        app = FastAPI()
        @app.websocket("/ws")
        async def echo(websocket: WebSocket): await websocket.accept()
        app = FastAPI()
        """,
        "/ws",
        "on a FastAPI() that another one replaces",
    ),
    "another app": (
        """
        app = FastAPI()
        chat_app = FastAPI()
        @chat_app.websocket("/ws")
        async def echo(websocket: WebSocket): await websocket.accept()
        """,
        "/ws",
        "is on chat_app in exercise.py, which is another FastAPI()",
    ),
    "no decorator": (
        """
        app = FastAPI()
        async def echo(websocket: WebSocket): await websocket.accept()
        """,
        "/ws",
        "echo() in exercise.py has no decorator",
    ),
    "decorator without a path": (
        """
        app = FastAPI()
        @app.websocket
        async def echo(websocket: WebSocket): await websocket.accept()
        """,
        "/ws",
        "@app.websocket above echo() in exercise.py has no path",
    ),
    "no route": (
        """
        app = FastAPI()
        @app.get("/rooms")
        async def rooms(): return {}
        """,
        "/ws",
        "Your app has no WebSocket route.",
    ),
}
"""Apps without a route for the path: each has its code, the path, and a part of the explanation."""

PARAMETERS = {
    "no annotation": (
        """
        app = FastAPI()
        @app.websocket("/ws/{room_id}")
        async def chat(websocket, room_id: str): await websocket.accept()
        """,
        "/ws/lobby",
        "websocket of chat() has no annotation, so FastAPI takes it for a query parameter. Write websocket: WebSocket.",
    ),
    "annotation Any": (
        """
        app = FastAPI()
        @app.websocket("/ws")
        async def echo(ws: Any): await ws.accept()
        """,
        "/ws",
        "ws of echo() isn't annotated with WebSocket",
    ),
    "decorator without wraps": (
        """
        app = FastAPI()
        def logged(function):
            async def inner(*args, **kwargs): return await function(*args, **kwargs)
            return inner
        @app.websocket("/ws")
        @logged
        async def echo(websocket: WebSocket): await websocket.accept()
        """,
        "/ws",
        "Put @functools.wraps(function) above the decorator's inner function",
    ),
    "another name in the path": (
        """
        app = FastAPI()
        @app.websocket("/ws/{room}")
        async def chat(websocket: WebSocket, room_id: str, name: str): await websocket.accept()
        """,
        "/ws/lobby?name=Ada",
        "has {room}, and chat() calls it room_id, so FastAPI takes room_id for a query parameter. Write {room_id}",
    ),
    "another name in the query": (
        """
        app = FastAPI()
        @app.websocket("/ws/{room_id}")
        async def chat(websocket: WebSocket, room_id: str, username: str): await websocket.accept()
        """,
        "/ws/lobby?name=Ada",
        "requires the query parameter username, and the client sends name instead. Rename the parameter to name",
    ),
    "name in a dependency": (
        """
        async def member_name(user: Annotated[str, Query(min_length=1)]): return user
        app = FastAPI(dependencies=[Depends(member_name)])
        @app.websocket("/ws/{room_id}")
        async def chat(websocket: WebSocket, room_id: str): await websocket.accept()
        """,
        "/ws/lobby?name=Ada",
        "member_name() requires the query parameter user",
    ),
    "no query": (
        """
        app = FastAPI()
        @app.websocket("/ws")
        async def echo(websocket: WebSocket, token: str): await websocket.accept()
        """,
        "/ws",
        "requires the query parameter token, and the client sends no query. Give token a default",
    ),
    "header": (
        """
        app = FastAPI()
        @app.websocket("/ws")
        async def echo(websocket: WebSocket, name: Annotated[str, Header()]): await websocket.accept()
        """,
        "/ws?name=Ada",
        "requires the header name, and the client doesn't send it",
    ),
    "body": (
        """
        class Message(BaseModel):
            text: str
        app = FastAPI()
        @app.websocket("/ws")
        async def echo(websocket: WebSocket, message: Message): await websocket.accept()
        """,
        "/ws",
        "a handshake has no body",
    ),
    "too short": (
        """
        app = FastAPI()
        @app.websocket("/ws")
        async def echo(websocket: WebSocket, name: Annotated[str, Query(min_length=5)]): await websocket.accept()
        """,
        "/ws?name=Ada",
        'limits the query parameter name to min_length=5, and the client sends "Ada", which has 3 characters',
    ),
    "too long": (
        """
        app = FastAPI()
        @app.websocket("/ws/{room_id}")
        async def echo(websocket: WebSocket, room_id: str, name: Annotated[str, Query(max_length=2)]): pass
        """,
        "/ws/lobby?name=%C3%85sa",
        'max_length=2, and the client sends "Åsa"',
    ),
    "pattern": (
        """
        app = FastAPI()
        @app.websocket("/ws")
        async def echo(websocket: WebSocket, name: Annotated[str, Query(pattern="^[a-z]+$")]): pass
        """,
        "/ws?name=Ada",
        'pattern="^[a-z]+$", and the client sends "Ada"',
    ),
    "literal": (
        """
        app = FastAPI()
        @app.websocket("/ws/{room_id}")
        async def chat(websocket: WebSocket, room_id: Literal["main"]): pass
        """,
        "/ws/lobby",
        "one of 'main', and the client sends \"lobby\"",
    ),
    "int": (
        """
        app = FastAPI()
        @app.websocket("/ws/{room_id}")
        async def chat(websocket: WebSocket, room_id: int): await websocket.accept()
        """,
        "/ws/lobby",
        'declares the path parameter room_id as int, and the client sends "lobby". Annotate room_id with str',
    ),
    "order": (
        """
        app = FastAPI()
        @app.websocket("/ws/{room_id}")
        async def chat(websocket: WebSocket, room_id: str, name: str): await websocket.accept()
        @app.websocket("/ws/announcements")
        async def announcements(websocket: WebSocket): await websocket.accept()
        """,
        "/ws/announcements",
        "/ws/{room_id} is declared before /ws/announcements",
    ),
    "mount first": (
        """
        app = FastAPI()
        app.mount("/", StaticFiles(directory="."))
        @app.websocket("/ws")
        async def echo(websocket: WebSocket): await websocket.accept()
        """,
        "/ws",
        'app.mount("/") comes before the WebSocket route',
    ),
}
"""Apps that refuse a parameter or pass the path to another route."""

CODE = {
    "close first": (
        """
        app = FastAPI()
        @app.websocket("/ws")
        async def echo(websocket: WebSocket): await websocket.close(1008)
        """,
        "/ws",
        403,
        "echo() closes the connection before accept() in exercise.py:",
    ),
    "close in an except": (
        """
        app = FastAPI()
        @app.websocket("/ws")
        async def echo(websocket: WebSocket):
            try:
                name = websocket.query_params["user"]
            except KeyError:
                await websocket.close()
        """,
        "/ws?name=Ada",
        403,
        "echo() catches KeyError: 'user' from exercise.py:",
    ),
    "close in a dependency": (
        """
        async def check(websocket: WebSocket): await websocket.close()
        app = FastAPI()
        @app.websocket("/ws", dependencies=[Depends(check)])
        async def echo(websocket: WebSocket): await websocket.accept()
        """,
        "/ws",
        403,
        "The function check() closes the connection before accept()",
    ),
    "WebSocketException": (
        """
        async def check(websocket: WebSocket): raise WebSocketException(1008)
        app = FastAPI(dependencies=[Depends(check)])
        @app.websocket("/ws")
        async def echo(websocket: WebSocket): await websocket.accept()
        """,
        "/ws",
        403,
        "The function check() raises WebSocketException(1008) before accept() in exercise.py:",
    ),
    "HTTPException 403": (
        """
        def check(): raise HTTPException(403)
        app = FastAPI()
        @app.websocket("/ws")
        async def echo(websocket: WebSocket, checked: Annotated[None, Depends(check)]): await websocket.accept()
        """,
        "/ws",
        403,
        "The function check() raises HTTPException(403)",
    ),
    "HTTPException 404": (
        """
        app = FastAPI()
        @app.websocket("/ws/{room_id}")
        async def chat(websocket: WebSocket, room_id: str): raise HTTPException(404, "no such room")
        """,
        "/ws/lobby",
        404,
        "chat() raises HTTPException(404) before accept() in exercise.py:",
    ),
    "security class": (
        """
        app = FastAPI()
        @app.websocket("/ws")
        async def echo(websocket: WebSocket, token: Annotated[str, Depends(OAuth2PasswordBearer("token"))]): pass
        """,
        "/ws?token=secret",
        401,
        "finds no credentials in this handshake",
    ),
    "middleware": (
        """
        from starlette.middleware.trustedhost import TrustedHostMiddleware
        app = FastAPI()
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=["example.com"])
        @app.websocket("/ws")
        async def echo(websocket: WebSocket): await websocket.accept()
        """,
        "/ws",
        400,
        "The middleware TrustedHostMiddleware refuses the handshake with HTTP 400",
    ),
    "own middleware": (
        """
        class OnlyHttp:
            def __init__(self, app): self.app = app
            async def __call__(self, scope, receive, send):
                if scope["type"] == "websocket":
                    await send({"type": "websocket.close"})
                else:
                    await self.app(scope, receive, send)
        app = FastAPI()
        app.add_middleware(OnlyHttp)
        @app.websocket("/ws")
        async def echo(websocket: WebSocket): await websocket.accept()
        """,
        "/ws",
        403,
        "The middleware (__call__()) closes the connection before accept()",
    ),
    "raise": (
        """
        app = FastAPI()
        @app.websocket("/ws/{room_id}")
        async def chat(websocket: WebSocket, room_id: str):
            members = {}[room_id]
        """,
        "/ws/lobby",
        500,
        "chat() raises KeyError: 'lobby' before accept() in exercise.py:",
    ),
    "raise in a dependency": (
        """
        def members(websocket: WebSocket): return websocket.state.members
        app = FastAPI()
        @app.websocket("/ws")
        async def echo(websocket: WebSocket, known: Annotated[dict, Depends(members)]): await websocket.accept()
        """,
        "/ws",
        500,
        "The function members() raises AttributeError",
    ),
    "return": (
        """
        app = FastAPI()
        @app.websocket("/ws")
        async def echo(websocket: WebSocket): return
        """,
        "/ws",
        500,
        "echo() returns before it accepts the connection. Call await websocket.accept() first",
    ),
    "no await": (
        """
        app = FastAPI()
        @app.websocket("/ws")
        async def echo(websocket: WebSocket):
            websocket.accept()
            await websocket.send_text("hello")
        """,
        "/ws",
        500,
        "echo() calls accept() without await",
    ),
    "def": (
        """
        app = FastAPI()
        @app.websocket("/ws")
        def echo(websocket: WebSocket): websocket.accept()
        """,
        "/ws",
        500,
        "echo() is declared with def, and FastAPI awaits the endpoint of a WebSocket route. Write async def echo",
    ),
    "receive first": (
        """
        app = FastAPI()
        @app.websocket("/ws")
        async def echo(websocket: WebSocket): await websocket.send_text(await websocket.receive_text())
        """,
        "/ws",
        500,
        "echo() sends or receives in exercise.py:",
    ),
    "send first": (
        """
        app = FastAPI()
        @app.websocket("/ws")
        async def echo(websocket: WebSocket): await websocket.send_json({"type": "welcome"})
        """,
        "/ws",
        500,
        "before it accepts the connection. Call await websocket.accept() first",
    ),
    "Request": (
        """
        app = FastAPI()
        @app.websocket("/ws")
        async def echo(websocket: WebSocket, request: Request): await websocket.accept()
        """,
        "/ws",
        500,
        "echo() takes request: Request, and FastAPI passes a Request only to HTTP routes",
    ),
}
"""Apps whose own code refuses: each has its code, the path, the status, and a part of the explanation."""

CASES = [
    pytest.param(code, path, status, phrase, id=name)
    for name, (code, path, status, phrase) in (
        {name: (code, path, 403, phrase) for name, (code, path, phrase) in (PATHS | PARAMETERS).items()} | CODE
    ).items()
]

NO_CAUSE = {
    "hangs at import": "while True: pass",
    "sleeps at import": "time.sleep(60)",
    "exits at import": "sys.exit()",
    "kills itself": "import os\nos._exit(3)",
    "syntax error": "def",
    "no app": "application = FastAPI()",
    "no such module": "import chat",
    "hangs in the endpoint": """
app = FastAPI()
@app.websocket("/ws")
async def echo(websocket: WebSocket):
    while True: pass
""",
    "accepts": """
app = FastAPI()
@app.websocket("/ws")
async def echo(websocket: WebSocket): await websocket.accept()
""",
    "fails to start": """
from contextlib import asynccontextmanager
@asynccontextmanager
async def lifespan(app):
    raise ValueError
    yield
app = FastAPI(lifespan=lifespan)
@app.websocket("/ws")
async def echo(websocket: WebSocket): await websocket.close()
""",
}
"""Answers that can't be explained: a server with them doesn't run, or doesn't refuse."""


def write(folder: Path, code: str) -> None:
    """Write an answer of one file."""
    lines = [line.removeprefix("        ") for line in code.splitlines()]
    (folder / "exercise.py").write_text(IMPORTS + "\n".join(lines) + "\n", "utf-8")


@pytest.mark.anyio
@pytest.mark.parametrize(("code", "path", "status", "phrase"), CASES)
async def test_cause(tmp_path: Path, code: str, path: str, status: int, phrase: str) -> None:
    """uvicorn refuses the handshake with this status, and the explanation names the mistake."""
    write(tmp_path, code)
    with Server("exercise:app", tmp_path) as server:
        assert await handshake(server.ws(path), 2.0) == status
    text = await why_refused("exercise:app", tmp_path, path, status)
    assert text is not None
    assert phrase in text
    assert text.endswith(".")
    assert str(tmp_path) not in text


@pytest.mark.anyio
async def test_never_accepts(tmp_path: Path) -> None:
    """An endpoint that waits gives no response; the explanation names the line."""
    write(tmp_path, CODE["return"][0].replace("return", "await asyncio.sleep(60)"))
    with Server("exercise:app", tmp_path) as server:
        with pytest.raises(TimeoutError):
            await handshake(server.ws("/ws"), 0.5)
    text = await why_refused("exercise:app", tmp_path, "/ws", 0)
    assert text and "echo() waits in exercise.py:" in text


@pytest.mark.anyio
@pytest.mark.parametrize("name", NO_CAUSE)
async def test_no_cause(tmp_path: Path, name: str) -> None:
    """An answer that hangs, ends, or accepts has no explanation, and the deadline holds."""
    write(tmp_path, NO_CAUSE[name])
    start = time.monotonic()
    assert await why_refused("exercise:app", tmp_path, "/ws", 403) is None
    assert time.monotonic() - start < PROBE_WITHIN + 2


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("number", "path", "phrase"),
    [
        (2, "/ws/", "the slash at the end is missing"),
        (3, "/wss/lobby", "ws is spelled wss"),
        (4, "/ws/lobby?name=Ada", "/api/chat at the beginning is too much"),
        (4, "/api/chat/ws/lobby", "member_name() requires the query parameter name, and the client sends no query"),
        (5, "/api/chat/ws/lobby?name=Ada", "/api/chat is missing at the beginning"),
        (5, "/ws/lobby?name=", 'min_length=1, and the client sends "", which has 0 characters'),
    ],
)
async def test_worked_solutions(number: int, path: str, phrase: str) -> None:
    """Worked solutions refuse a wrong path or name, and the explanation says how they differ."""
    step = find_step(number)
    target = step.target("exercise")
    with Server(target, step.solution) as server:
        assert await handshake(server.ws(path), 2.0) == 403
    text = await why_refused(target, step.solution, path, 403)
    assert text and phrase in text


@pytest.mark.anyio
async def test_router_in_another_module(tmp_path: Path) -> None:
    """A module that main.py doesn't import is found too."""
    package = tmp_path / "exercise"
    package.mkdir()
    (package / "__init__.py").write_text("", "utf-8")
    (package / "main.py").write_text("from fastapi import FastAPI\napp = FastAPI()\n", "utf-8")
    chat = 'router = APIRouter(prefix="/api/chat")\n@router.websocket("/ws/{room_id}")\nasync def chat(): pass\n'
    (package / "chat.py").write_text(f"from fastapi import APIRouter\n{chat}", "utf-8")
    text = await why_refused("exercise.main:app", tmp_path, "/api/chat/ws/lobby", 403)
    assert text and "is on router in exercise/chat.py" in text
    assert "Call app.include_router(chat.router)" in text


@pytest.mark.anyio
async def test_other_status(tmp_path: Path) -> None:
    """An explanation of another status than the client's isn't given."""
    write(tmp_path, CODE["close first"][0])
    assert await why_refused("exercise:app", tmp_path, "/ws", 500) is None


def test_no_library() -> None:
    """HTTP 404 without a WebSocket library."""
    text = explain({"library": False}, "/ws", 404)
    assert text and "uvicorn has no WebSocket library" in text


def test_without_listing(tmp_path: Path) -> None:
    """A version of FastAPI that can't list routes leaves the listing out."""
    code = "import fastapi.routing\ndel fastapi.routing.iter_route_contexts\n" + CODE["close first"][0]
    write(tmp_path, code)
    facts = gather_facts("exercise:app", tmp_path, "/ws", {})
    assert "routes" not in facts
    assert "closes the connection before accept() in exercise.py:" in (explain(facts, "/ws", 403) or "")
    facts = gather_facts("exercise:app", tmp_path, "/chat", {})
    assert explain(facts, "/chat", 403) == (
        "Your app has no WebSocket route for /chat. Correct the path or the prefix of the route."
    )


@pytest.mark.anyio
async def test_time(tmp_path: Path) -> None:
    """Several explanations at a time take a few seconds at most."""
    write(tmp_path, CODE["close first"][0])
    start = time.monotonic()
    await asyncio.gather(*(why_refused("exercise:app", tmp_path, "/ws", 403) for _ in range(4)))
    assert time.monotonic() - start < PROBE_WITHIN
