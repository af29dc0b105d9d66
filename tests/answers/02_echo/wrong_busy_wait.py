"""The endpoint polls its inbox without an await, so that the task which fills the inbox never runs.

Refused by: test_echo
Says: or a loop without an await
"""

import asyncio
import json

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()


async def read(websocket: WebSocket, inbox: asyncio.Queue[str | None]) -> None:
    while (message := await websocket.receive())["type"] != "websocket.disconnect":
        inbox.put_nowait(message.get("text") or "")
    inbox.put_nowait(None)


@app.websocket("/ws")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_json({"type": "welcome"})
    inbox: asyncio.Queue[str | None] = asyncio.Queue()
    reader = asyncio.create_task(read(websocket, inbox))
    count = 0
    try:
        while True:
            try:
                text = inbox.get_nowait()
            except asyncio.QueueEmpty:
                continue
            if text is None:
                return
            try:
                request = json.loads(text)
            except ValueError:
                request = None
            match request:
                case {"type": "echo", "text": str(text)}:
                    count += 1
                    await websocket.send_json({"type": "echo", "text": text, "count": count})
                case {"type": "bye"}:
                    await websocket.close(1000, "bye")
                    return
                case _:
                    await websocket.send_json({"type": "error", "detail": "neither an echo nor a bye"})
    except WebSocketDisconnect:
        pass
    finally:
        reader.cancel()
