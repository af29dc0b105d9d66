"""The handshake decoder of README.md: each of its rows, observed on the pinned versions."""

import contextlib
import re
import sys
from pathlib import Path

import httpx
import pytest
from judge.handshakes import handshake
from judge.subject import Subject
from websockets import ConnectionClosed, InvalidMessage, connect
from workshop.course import ROOT
from workshop.network import Network
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


@app.websocket("/unavailable")
async def unavailable(websocket: WebSocket):
    raise HTTPException(503)


@app.websocket("/security-class")
async def security_class(websocket: WebSocket, token: Annotated[str, Depends(OAuth2PasswordBearer("token"))]):
    await websocket.accept()


@app.websocket("/echoes")
async def echoes(websocket: WebSocket):
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


@app.websocket("/few-descriptors")
async def few_descriptors(websocket: WebSocket):
    import os
    import resource

    await websocket.accept()
    # The numbers of open descriptors are below this one, and there's a place for a few more.
    descriptor = os.dup(0)
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptor + 5, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    os.close(descriptor)
    await websocket.send_text("limited")
    await websocket.receive()


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
    (503, "/unavailable"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a folder with an application that fails in every way."""
    folder = tmp_path_factory.mktemp("handshakes")
    (folder / "main.py").write_text(APPLICATION, "utf-8")
    return folder


@pytest.mark.anyio
async def test_statuses(folder: Path) -> None:
    """Each way to reject a handshake has the status that the decoder states."""
    with Server("main:app", folder) as server:
        assert [(await handshake(server.ws(path), 2.0), path) for _, path in ROWS] == ROWS


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/raises-later", "/returns-later"])
async def test_no_close_frame(folder: Path, path: str) -> None:
    """If an endpoint returns without close(), the client gets 1006."""
    with Server("main:app", folder) as server:
        subject = Subject(server, 2.0, folder)
        async with subject.client(path) as ada:
            await ada.is_closed(1006, likely="")
        await subject.close()


@pytest.mark.anyio
async def test_no_library(folder: Path) -> None:
    """Without a WebSocket library, uvicorn answers 404, and its log states why."""
    with Server("main:app", folder, extra=["--ws", "none"]) as server:
        assert await handshake(server.ws("/good"), 2.0) == 404
        assert server.wait_for(lambda log: any("Unsupported upgrade request" in line for line in log), 5)


@pytest.mark.anyio
async def test_plain_request(folder: Path) -> None:
    """A request without the header Upgrade gets 404, if the path has no HTTP route."""
    with Server("main:app", folder) as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=5, trust_env=False) as client:
            assert (await client.get("/good")).status_code == 404


@pytest.mark.anyio
async def test_limit_concurrency(folder: Path) -> None:
    """uvicorn's --limit-concurrency counts WebSocket connections, and rejects only HTTP requests with 503."""
    with Server("main:app", folder, extra=["--limit-concurrency", "3"]) as server:
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(5):
                await stack.enter_async_context(connect(server.ws("/echoes")))
            async with httpx.AsyncClient(base_url=server.url, timeout=5, trust_env=False) as client:
                assert (await client.get("/http-route")).status_code == 503


@pytest.mark.anyio
async def test_cut(folder: Path) -> None:
    """If something between client and server ends the connection, the client sees 1006."""
    with Server("main:app", folder) as server:
        async with Network(server) as network:
            client = await connect(network.ws("/echoes"))
            network.cut()
            with pytest.raises(ConnectionClosed):
                await client.recv()
            assert client.close_code == 1006


@pytest.mark.anyio
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
@pytest.mark.parametrize(("loop", "error"), [("uvloop", InvalidMessage), ("asyncio", TimeoutError)])
async def test_no_descriptors(folder: Path, loop: str, error: type[Exception]) -> None:
    """If a server has no file descriptor left, uvloop ends the connection without a response, and asyncio waits."""
    with Server("main:app", folder, extra=["--loop", loop]) as server:
        async with contextlib.AsyncExitStack() as stack:
            await (await stack.enter_async_context(connect(server.ws("/few-descriptors")))).recv()
            with pytest.raises(error):
                for _ in range(50):
                    await stack.enter_async_context(connect(server.ws("/echoes"), open_timeout=3))
        # uvloop logs nothing.
        seconds = 5 if loop == "asyncio" else 0
        logged = server.wait_for(lambda log: any("Too many open files" in line for line in log), seconds)
        assert logged == (loop == "asyncio")


def test_decoder_is_complete() -> None:
    """The table of the README has these statuses and no others."""
    section = (ROOT / "README.md").read_text("utf-8").split("\n## The handshake decoder\n")[1].split("\n## ")[0]
    shown = set(re.findall(r"^\| (\d+)", section, re.MULTILINE))
    assert shown == {str(status) for status, _ in ROWS} | {"404", "1006"}
    assert "| no answer |" in section
