"""The request itself is sent back with its count, so that its other keys come back too.

Refused by: test_echo
Says: "extra": [1]
"""

import json

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()


@app.websocket("/ws")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_json({"type": "welcome"})
    count = 0
    try:
        while True:
            try:
                request = json.loads(await websocket.receive_text())
            except (KeyError, ValueError):
                request = None
            match request:
                case {"type": "echo", "text": str()}:
                    count += 1
                    request["count"] = count
                    await websocket.send_json(request)
                case {"type": "bye"}:
                    await websocket.close(1000, "bye")
                    return
                case _:
                    await websocket.send_json({"type": "error", "detail": "neither an echo nor a bye"})
    except WebSocketDisconnect:
        pass
