"""The file waits at import for something that another part of it was to do, in a loop that never ends.

Refused by: starts
Says: look for an endless loop
"""

import json
import threading
import time

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()
ready = threading.Event()


@app.on_event("startup")
async def startup() -> None:
    ready.set()


while not ready.is_set():
    time.sleep(0.1)


@app.websocket("/ws")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    count = 0
    try:
        await websocket.send_json({"type": "welcome"})
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            try:
                request = json.loads(message.get("text") or "")
                if request["type"] == "bye":
                    await websocket.close(1000, "bye")
                    return
                if request["type"] != "echo" or not isinstance(request["text"], str):
                    raise ValueError
            except (ValueError, KeyError, TypeError):
                await websocket.send_json({"type": "error", "detail": "not understood"})
                continue
            count += 1
            await websocket.send_json({"type": "echo", "text": request["text"], "count": count})
    except WebSocketDisconnect:
        pass
