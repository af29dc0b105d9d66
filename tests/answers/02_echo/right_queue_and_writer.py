"""A reader and a writer, two tasks with a queue of one answer between them: the first that ends cancels the other."""

import asyncio
import json
from typing import Any

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()
Outbox = asyncio.Queue[dict[str, Any]]


async def write(websocket: WebSocket, outbox: Outbox) -> None:
    while (answer := await outbox.get())["type"] != "bye":
        # Not send_json(): dumps() escapes half an emoji, which UTF-8 can't encode.
        await websocket.send_text(json.dumps(answer))
    await websocket.close(1000, "bye")


async def read(websocket: WebSocket, outbox: Outbox) -> None:
    count = 0
    await outbox.put({"type": "welcome"})
    while (message := await websocket.receive())["type"] == "websocket.receive":
        try:
            request = json.loads(message["text"])
            kind, text = request["type"], request.get("text")
        except (ValueError, KeyError, TypeError, RecursionError):
            kind = text = None
        if kind == "echo" and type(text) is str:
            count += 1
            await outbox.put({"type": "echo", "text": text, "count": count})
        elif kind == "bye":
            await outbox.put({"type": "bye"})
        else:
            await outbox.put({"type": "error", "detail": f"cannot answer {message}"[:100]})


@app.websocket("/ws")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    # One answer: if the client doesn't read, the reader waits too, and memory doesn't grow.
    outbox = Outbox(maxsize=1)
    tasks = [asyncio.create_task(read(websocket, outbox)), asyncio.create_task(write(websocket, outbox))]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            # Ignore disconnects: they end a connection like any other end.
            if isinstance(result, Exception) and not isinstance(result, WebSocketDisconnect | RuntimeError):
                raise result
