"""Step 06, lesson, a second application: three other ways to send a token, and two ways to reject."""

import asyncio
from contextlib import suppress
from typing import Annotated

from fastapi import FastAPI, Header, HTTPException, WebSocket, status
from fastapi.middleware.cors import CORSMiddleware

from . import login, tokens
from .users import HASHES

app = FastAPI()
app.include_router(login.router)
# Only pages of this origin may read responses, and only over HTTP.
app.add_middleware(CORSMiddleware, allow_origins=["https://chat.example"])


async def greet(websocket: WebSocket, token: str, subprotocol: str | None = None) -> None:
    name = tokens.decode(token)
    if name not in HASHES:
        raise HTTPException(status.HTTP_401_UNAUTHORIZED, "The token isn't valid")
    await websocket.accept(subprotocol)
    await websocket.send_text(f"hello {name}")
    await websocket.close()


@app.websocket("/query")
async def token_in_query(websocket: WebSocket, token: str) -> None:
    await greet(websocket, token)


@app.websocket("/subprotocol")
async def token_in_subprotocol(websocket: WebSocket, sec_websocket_protocol: Annotated[str, Header()]) -> None:
    # A client offers subprotocols, and the server selects one. A token can be sent as the name of one.
    await greet(websocket, sec_websocket_protocol.removeprefix("chat, "), "chat")


@app.websocket("/message")
async def token_in_first_message(websocket: WebSocket) -> None:
    # Every client is accepted, and has two seconds to authenticate.
    await websocket.accept()
    name = None
    with suppress(TimeoutError):
        async with asyncio.timeout(2):
            name = tokens.decode((await websocket.receive()).get("text") or "")
    with suppress(RuntimeError):  # The client has disconnected.
        await (websocket.send_text(f"hello {name}") if name in HASHES else websocket.close(4401))


@app.websocket("/closed-before")
async def close_before_accept(websocket: WebSocket) -> None:
    await websocket.close(4401, "no token")


@app.websocket("/closed-after")
async def close_after_accept(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.close(4401, "no token")
