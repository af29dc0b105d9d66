"""The `except` stands inside `while True`, so the loop never ends: it spins when the client has left.

Refused by: test_vanish
Says: perhaps in the endpoint of a client that has left
"""

import json

from fastapi import FastAPI, WebSocket

app = FastAPI()


@app.websocket("/ws")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_json({"type": "welcome"})
    count = 0
    while True:
        try:
            request = json.loads(await websocket.receive_text())
            if request["type"] == "bye":
                await websocket.close(1000, "bye")
                return
            if request["type"] != "echo" or not isinstance(request["text"], str):
                raise ValueError("expected an echo or a bye")
            count += 1
            await websocket.send_json({"type": "echo", "text": request["text"], "count": count})
        except Exception as error:
            try:
                await websocket.send_json({"type": "error", "detail": repr(error)})
            except Exception:
                continue
