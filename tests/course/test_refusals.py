"""Why an answer rejects a handshake: real uvicorn rejects it because of each mistake, and the cause is named."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from harness.refusing import IMPORTS, PARAMETERS, PATHS
from judge.handshakes import handshake
from judge.refusals import explain, gather_facts, why_refused
from workshop.course import find_step
from workshop.process import Process, start_module
from workshop.server import Server

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
    "close in a condition": (
        """
        app = FastAPI()
        @app.websocket("/ws")
        async def echo(websocket: WebSocket):
            if "user" not in websocket.query_params:
                await websocket.close(4401)
                return
            await websocket.accept()
        """,
        "/ws?name=Ada",
        403,
        "so the client gets HTTP 403. Correct the condition that leads there",
    ),
    "no parameter": (
        """
        app = FastAPI()
        @app.websocket("/ws")
        async def echo(): pass
        """,
        "/ws",
        500,
        "echo() has no parameter for the connection",
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
        "passes a Request only to HTTP routes. Remove request, and use the WebSocket",
    ),
}
"""Apps whose own code rejects the handshake: each has its code, the path, the status, and a part of the explanation."""

MAIN = (
    *("prefix twice", "slash surplus", "HTTP", "no include", "no annotation", "another name in the path"),
    *("too short", "close first", "raise", "return"),
)
"""The cases that a plain pytest runs."""
THOROUGH = [pytest.mark.thorough("rarer causes of a refused handshake")]
CASES = [
    pytest.param(code, path, status, phrase, id=name, marks=[] if name in MAIN else THOROUGH)
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
"""Answers without an explanation: a server with them doesn't start, or doesn't reject the handshake."""


def write(folder: Path, code: str) -> None:
    """Write an answer of one file."""
    lines = [line.removeprefix("        ") for line in code.splitlines()]
    (folder / "exercise.py").write_text(IMPORTS + "\n".join(lines) + "\n", "utf-8")


@pytest.mark.anyio
@pytest.mark.parametrize(("code", "path", "status", "phrase"), CASES)
async def test_cause(tmp_path: Path, code: str, path: str, status: int, phrase: str) -> None:
    """uvicorn rejects the handshake with this status, and the explanation names the mistake."""
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
    """If an endpoint waits, there's no response; the explanation names the line."""
    write(tmp_path, CODE["return"][0].replace("return", "await asyncio.sleep(60)"))
    with Server("exercise:app", tmp_path) as server:
        with pytest.raises(TimeoutError):
            await handshake(server.ws("/ws"), 0.5)
    text = await why_refused("exercise:app", tmp_path, "/ws", 0)
    assert text and "echo() waits in exercise.py:" in text


@pytest.mark.anyio
@pytest.mark.parametrize("name", NO_CAUSE)
async def test_no_cause(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that hangs, ends, or accepts has no explanation, and the deadline ends the probe."""
    monkeypatch.setattr("judge.refusals.PROBE_WITHIN", 1.5)
    started = []

    def start(*arguments: Any, **options: Any) -> Process:
        started.append(start_module(*arguments, **options))
        return started[-1]

    monkeypatch.setattr("judge.refusals.start_module", start)
    write(tmp_path, NO_CAUSE[name])
    before = time.monotonic()
    assert await why_refused("exercise:app", tmp_path, "/ws", 403) is None
    assert time.monotonic() - before < 4
    assert [process.poll() is not None for process in started] == [True]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("number", "path", "phrase"),
    [
        (2, "/ws/", "the slash at the end is missing"),
        (3, "/wss/lobby", "the route has ws, and the client sends wss"),
        (4, "/ws/lobby?name=Ada", "/api/chat at the beginning is too much"),
        (4, "/api/chat/ws/lobby", "member_name() requires the query parameter name, and the client sends no query"),
        (5, "/api/chat/ws/lobby?name=Ada", "/api/chat is missing at the beginning"),
        (5, "/ws/lobby?name=", 'min_length=1, and the client sends "", which has 0 characters'),
    ],
)
async def test_worked_solutions(number: int, path: str, phrase: str) -> None:
    """Worked solutions reject a wrong path or name, and the explanation states the difference."""
    step = find_step(number)
    target = step.target("exercise")
    with Server(target, step.solution) as server:
        assert await handshake(server.ws(path), 2.0) == 403
    text = await why_refused(target, step.solution, path, 403)
    assert text and phrase in text


@pytest.mark.anyio
async def test_router_in_another_module(tmp_path: Path) -> None:
    """A route in a module that main.py doesn't import is found too."""
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
    """If the probe gets another status than the client, there's no explanation."""
    write(tmp_path, CODE["close first"][0])
    assert await why_refused("exercise:app", tmp_path, "/ws", 500) is None


def test_no_library() -> None:
    """Without a WebSocket library, HTTP 404 is explained by that."""
    text = explain({"library": False}, "/ws", 404)
    assert text and "uvicorn has no WebSocket library" in text


def test_without_listing(tmp_path: Path) -> None:
    """If a version of FastAPI can't list routes, the explanation omits the list."""
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
async def test_several(tmp_path: Path) -> None:
    """Several explanations at the same time don't affect each other."""
    for name in ("close first", "raise", "return"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, CODE[name][0])
    names = ["close first", "raise", "return"] * 2
    texts = await asyncio.gather(*(why_refused("exercise:app", tmp_path / each, *CODE[each][1:3]) for each in names))
    assert all(text and CODE[name][3] in text for name, text in zip(names, texts, strict=True))
