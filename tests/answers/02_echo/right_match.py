"""A match statement, and `receive_text()` with its `KeyError` caught where it is raised."""

import itertools
import json
import re
from contextlib import suppress

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()

# JSON can hold half an emoji, as in "\ud83d". UTF-8 can't, so a send of it raises.
SURROGATE = re.compile("[\ud800-\udfff]")


async def read(websocket: WebSocket) -> object:
    try:
        return json.loads(await websocket.receive_text())
    except (KeyError, ValueError, RecursionError):
        return None


@app.websocket("/ws")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    counter = itertools.count(1)
    with suppress(WebSocketDisconnect):
        await websocket.send_json({"type": "welcome"})
        while True:
            match await read(websocket):
                case {"type": "echo", "text": str(text)} if not SURROGATE.search(text):
                    await websocket.send_json({"type": "echo", "text": text, "count": next(counter)})
                case {"type": "bye"}:
                    return await websocket.close(reason="bye")
                case _:
                    await websocket.send_json({"type": "error", "detail": "expected an echo or a bye"})
