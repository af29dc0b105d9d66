"""Step 06, lesson, an application beside it: the other three ways of a token to a socket, and two ways to refuse."""

import asyncio
from contextlib import suppress
from typing import Annotated

from fastapi import FastAPI, Header, HTTPException, WebSocket, status
from fastapi.middleware.cors import CORSMiddleware

from . import login, tokens
from .users import HASHES

app = FastAPI()
app.include_router(login.router)
# It lets pages from there read answers over HTTP, and no others.
app.add_middleware(CORSMiddleware, allow_origins=["https://chat.example"])


async def greet(websocket: WebSocket, token: str, subprotocol: str | None = None) -> None:
    name = tokens.read(token)
    if name not in HASHES:
        raise HTTPException(status.HTTP_401_UNAUTHORIZED, "This token does not count")
    await websocket.accept(subprotocol)
    await websocket.send_text(f"hello {name}")
    await websocket.close()


@app.websocket("/query")
async def in_the_query(websocket: WebSocket, token: str) -> None:
    await greet(websocket, token)


@app.websocket("/subprotocol")
async def in_the_subprotocol(websocket: WebSocket, sec_websocket_protocol: Annotated[str, Header()]) -> None:
    # A client lists the protocols that it speaks, and the server picks one. A token looks like the name of one.
    await greet(websocket, sec_websocket_protocol.removeprefix("chat, "), "chat")


@app.websocket("/message")
async def in_the_first_message(websocket: WebSocket) -> None:
    # Everybody is let in, and may stay for two seconds without saying who it is.
    await websocket.accept()
    name = None
    with suppress(TimeoutError):
        async with asyncio.timeout(2):
            name = tokens.read((await websocket.receive()).get("text") or "")
    with suppress(RuntimeError):  # it has left
        await (websocket.send_text(f"hello {name}") if name in HASHES else websocket.close(4401))


@app.websocket("/closed-before")
async def closed_before_it_was_accepted(websocket: WebSocket) -> None:
    await websocket.close(4401, "no token")


@app.websocket("/closed-after")
async def closed_after_it_was_accepted(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.close(4401, "no token")
