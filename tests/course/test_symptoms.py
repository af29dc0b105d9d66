"""The errors that mistakes cause in a server's log: each is found, and its explanation names the cause.

Each case of mistakes.toml is a small application with one mistake, run under uvicorn.
"""

import contextlib
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from judge.messages import show
from judge.symptoms import Trouble, meaning_of, printed_in, telling, troubles_in
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection, connect
from workshop.server import Server, StartupError

Case = dict[str, Any]
CASES: list[Case] = tomllib.loads(Path(__file__).with_name("mistakes.toml").read_text("utf-8"))["case"]
HEAD = """\
import asyncio, json, logging, threading
from fastapi import FastAPI, HTTPException, WebSocket, WebSocketDisconnect
from pydantic import BaseModel
app = FastAPI()
members = []
rooms = {}
"""
ENDPOINT = """\
@app.websocket("/ws")
async def endpoint(websocket: WebSocket):
"""
SECONDS = 5.0
"""The timeout for a connection, and for an error in the log, in seconds."""


def source_of(case: Case) -> str:
    """Return the application of a case."""
    body = "".join(f"    {line}\n" for line in case.get("body", "").splitlines())
    return HEAD + case.get("before", "") + (ENDPOINT + body if body else "")


def play(server: Server, sends: list[dict[str, Any]]) -> str | None:
    """Connect clients, and let them send, receive and leave.

    Returns:
        The last sent message, as a verdict shows it, or None if there was none.
    """
    last = None
    clients: dict[int, ClientConnection] = {}
    with contextlib.ExitStack() as stack, contextlib.suppress(InvalidHandshake, ConnectionClosed):
        for number in sorted({0, *(each.get("client", 0) for each in sends)}):
            clients[number] = stack.enter_context(connect(server.ws(), open_timeout=SECONDS, close_timeout=SECONDS))
        for each in sends:
            client = clients[each.get("client", 0)]
            for _ in range(each.get("receives", 0)):
                client.recv(SECONDS)
            if "receives" in each:
                continue
            if "leaves" in each:
                client.close()
                continue
            message = bytes.fromhex(each["hex"]) if "hex" in each else each["text"] * each.get("times", 1)
            client.send(message)
            last = show(message)
        # The others stay connected until the server ends, because leaving would add errors to the log.
        stack.pop_all()
    return last


def find(server: Server, holds: Callable[[Trouble], bool]) -> Trouble | None:
    """Wait until the most telling error satisfies `holds`, and return it; otherwise, return the last one, or None."""
    found = None

    def finds(log: list[str]) -> bool:
        nonlocal found
        found = telling(troubles_in("\n".join(log), server.app_dir))
        return found is not None and holds(found)

    server.wait_for(finds, SECONDS)
    return found


@pytest.mark.parametrize(
    "case",
    # A plain pytest runs every sixth case.
    [
        pytest.param(case, id=case["name"], marks=[pytest.mark.thorough("rarer errors in a log")] if place % 6 else [])
        for place, case in enumerate(CASES)
    ],
)
def test_mistake(case: Case, tmp_path: Path) -> None:
    """An application with this mistake: its error, the place, the phase and the explanation."""
    source = source_of(case)
    (tmp_path / "exercise.py").write_text(source, "utf-8")
    marked = [str(number) for number, line in enumerate(source.splitlines(), 1) if "# HERE" in line]

    def summary(trouble: Trouble) -> tuple[object, ...]:
        lines = [place.rpartition(":")[2] for place in trouble.places[:1]]
        return trouble.error[: len(case["error"])], trouble.phase, trouble.about_leaving, lines

    expected = (case["error"], case["phase"], case.get("leaving", False), marked)
    server = Server("exercise:app", tmp_path)
    try:
        sent = None
        with contextlib.suppress(StartupError):
            server.wait_until_ready()
            sent = play(server, case.get("sends", []))
        # A part of a traceback may already be in the log.
        trouble = find(server, lambda trouble: summary(trouble) == expected)
    finally:
        server.kill()
    assert trouble is not None, "\n".join(server.log)
    assert summary(trouble) == expected
    meaning = meaning_of(trouble, sent)
    assert case["says"] in str(meaning) if "says" in case else meaning is None


def test_printed(tmp_path: Path) -> None:
    """The lines that the learner's code printed, without lines of uvicorn, warnings and tracebacks."""
    body = """\
print("INFO: ready")
import warnings; warnings.warn("careful")
print("x" * 500)
await websocket.accept()
print("last")
logging.error("mine")
await websocket.receive_json()
"""
    (tmp_path / "exercise.py").write_text(source_of({"body": body}), "utf-8")
    with Server("exercise:app", tmp_path) as server:
        play(server, [{"text": "no"}])
        find(server, lambda trouble: trouble.kind == "JSONDecodeError")
    log = "\n".join(server.log)
    assert printed_in(log) == ["x" * 119 + "…", "last", "ERROR:root:mine"]
    assert printed_in(log.replace("\nlast\n", "\n")) == ["INFO: ready", "x" * 119 + "…", "ERROR:root:mine"]


def test_outermost_place(tmp_path: Path) -> None:
    """The places are the innermost and the outermost line of the learner's code, in one file or several."""
    lines = {"exercise.py": source_of({"before": "from chat import reply\n", "body": "await reply(websocket)"})}
    lines["chat.py"] = "async def reply(websocket):\n    await websocket.accept()\n    1 / 0\n"
    for name, text in lines.items():
        (tmp_path / name).write_text(text, "utf-8")
    with Server("exercise:app", tmp_path) as server:
        play(server, [])
        trouble = find(server, lambda trouble: trouble.kind == "ZeroDivisionError")
    assert trouble is not None
    outer = len(lines["exercise.py"].splitlines())
    assert trouble.places == (f"{tmp_path}/chat.py:3", f"{tmp_path}/exercise.py:{outer}")
    assert trouble.source == "1 / 0"


@pytest.mark.parametrize(
    ("chat", "error", "place", "says"),
    [
        ("import rooms", "ModuleNotFoundError: No module named 'rooms'", "chat.py:1", "Write from . import rooms"),
        ("from .rooms import names", "ImportError: cannot import name 'router'", "rooms.py:1", "import each other"),
        (
            "from .main import ap",
            "ImportError: cannot import name 'ap' from partially",
            "chat.py:1",
            "import each other",
        ),
        (
            "from . import uuid4",
            "ImportError: cannot import name 'uuid4'",
            "chat.py:1",
            "exercise doesn't define uuid4",
        ),
        ("from ..rooms import names", "ImportError: attempted relative import beyond", "chat.py:1", "too many dots"),
    ],
)
def test_imports(chat: str, error: str, place: str, says: str, tmp_path: Path) -> None:
    """Mistakes in the imports of a package."""
    files = {"__init__": "", "main": HEAD + "from . import chat", "chat": chat, "rooms": "from .chat import router"}
    (tmp_path / "exercise").mkdir()
    for name, text in files.items():
        (tmp_path / "exercise" / f"{name}.py").write_text(text, "utf-8")
    server = Server("exercise.main:app", tmp_path)
    try:
        with pytest.raises(StartupError):
            server.wait_until_ready()
    finally:
        server.kill()
    trouble = telling(troubles_in("\n".join(server.log), tmp_path))
    assert trouble is not None and trouble.error.startswith(error)
    assert trouble.places[0] == f"{tmp_path}/exercise/{place}"
    assert says in str(meaning_of(trouble))


def test_http(tmp_path: Path) -> None:
    """An error in an HTTP route isn't explained by a loop over messages."""
    route = "@app.get('/')\nasync def read(text: str):\n    json.loads(text)\n"
    (tmp_path / "exercise.py").write_text(source_of({"before": route}), "utf-8")
    with Server("exercise:app", tmp_path) as server:
        with pytest.raises(HTTPError):
            urlopen(f"{server.url}/?text=no", timeout=SECONDS)
        trouble = find(server, lambda trouble: trouble.kind == "JSONDecodeError")
    assert trouble is not None
    assert str(meaning_of(trouble)).endswith("answer with an HTTP error.")


def test_all_of_a_log() -> None:
    """All errors of a log are found, in order. The most telling one isn't about a client that left."""
    folder = Path("/answer")
    one = """\
ERROR:    Exception in ASGI application
Traceback (most recent call last):
  File "/answer/exercise.py", line {line}, in endpoint
    {source}
{error}
"""
    left = one.format(line=3, source="await websocket.receive_text()", error="starlette.websockets.WebSocketDisconnect")
    value = one.format(line=4, source="int(text)", error="ValueError: no number")
    log = f"INFO:     Application startup complete.\n{left}{value}{left}"
    troubles = troubles_in(log, folder)
    assert [trouble.error for trouble in troubles] == [
        "WebSocketDisconnect",
        "ValueError: no number",
        "WebSocketDisconnect",
    ]
    found = telling(troubles)
    assert found is not None and found.places == ("/answer/exercise.py:4",)
    assert telling([]) is None
    assert troubles_in(log, Path("/other"))[1].places == ()
