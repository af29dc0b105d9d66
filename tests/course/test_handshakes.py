"""The handshake decoder of README.md: each of its rows, seen on the pinned versions."""

import re
from pathlib import Path

import pytest
from judge.handshakes import handshake
from judge.subject import Subject
from workshop.course import ROOT
from workshop.server import Server

APPLICATION = """
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, WebSocket
from fastapi.security import OAuth2PasswordBearer

app = FastAPI()


@app.websocket("/good")
async def good(websocket: WebSocket):
    await websocket.accept()
    await websocket.close()


@app.websocket("/number/{number}")
async def number(websocket: WebSocket, number: int):
    await websocket.accept()


@app.websocket("/unannotated")
async def unannotated(websocket):
    await websocket.accept()


@app.get("/http-route")
async def http_route():
    return


@app.websocket("/closes-first")
async def closes_first(websocket: WebSocket):
    await websocket.close(4401, "never seen")


@app.websocket("/raises-first")
async def raises_first(websocket: WebSocket):
    raise ValueError


@app.websocket("/returns-first")
async def returns_first(websocket: WebSocket):
    return


@app.websocket("/unauthorized")
async def unauthorized(websocket: WebSocket):
    raise HTTPException(401)


@app.websocket("/security-class")
async def security_class(websocket: WebSocket, token: Annotated[str, Depends(OAuth2PasswordBearer("token"))]):
    await websocket.accept()


@app.websocket("/raises-later")
async def raises_later(websocket: WebSocket):
    await websocket.accept()
    raise ValueError


@app.websocket("/returns-later")
async def returns_later(websocket: WebSocket):
    await websocket.accept()
"""

ROWS = [
    (403, "/no-such-path"),
    (403, "/good/"),
    (403, "/number/seven"),
    (403, "/unannotated"),
    (403, "/http-route"),
    (403, "/closes-first"),
    (500, "/raises-first"),
    (500, "/returns-first"),
    (401, "/unauthorized"),
    (401, "/security-class"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an application that goes wrong in every way."""
    folder = tmp_path_factory.mktemp("handshakes")
    (folder / "main.py").write_text(APPLICATION, "utf-8")
    return folder


@pytest.mark.anyio
async def test_statuses(folder: Path) -> None:
    """Each way to refuse a handshake has the status that the decoder gives it."""
    with Server("main:app", folder) as server:
        assert [(await handshake(server.ws(path), 2.0), path) for _, path in ROWS] == ROWS


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/raises-later", "/returns-later"])
async def test_no_close_frame(folder: Path, path: str) -> None:
    """An endpoint that ends without close() gives the client 1006."""
    with Server("main:app", folder) as server:
        subject = Subject(server, 2.0, folder)
        async with subject.client(path) as ada:
            await ada.is_closed(1006, likely="")
        await subject.close()


@pytest.mark.anyio
async def test_no_library(folder: Path) -> None:
    """Without a WebSocket library, uvicorn answers 404."""
    with Server("main:app", folder, extra=["--ws", "none"]) as server:
        assert await handshake(server.ws("/good"), 2.0) == 404


def test_decoder_is_complete() -> None:
    """The table of the README has these statuses and no others."""
    section = (ROOT / "README.md").read_text("utf-8").split("### The handshake decoder")[1].split("\n## ")[0]
    shown = set(re.findall(r"^\| (\d+)", section, re.MULTILINE))
    assert shown == {str(status) for status, _ in ROWS} | {"404", "1006"}
