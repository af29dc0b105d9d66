"""The objects are sent as Python writes them, with `str()`, and that is no JSON.

Refused by: test_welcome
Says: it is no JSON in a text frame
"""

import json

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()


@app.websocket("/ws")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(str({"type": "welcome"}))
    count = 0
    try:
        while True:
            try:
                request = json.loads(await websocket.receive_text())
            except (KeyError, ValueError):
                request = None
            match request:
                case {"type": "echo", "text": str(text)}:
                    count += 1
                    await websocket.send_text(str({"type": "echo", "text": text, "count": count}))
                case {"type": "bye"}:
                    await websocket.close(1000, "bye")
                    return
                case _:
                    await websocket.send_text(str({"type": "error", "detail": "neither an echo nor a bye"}))
    except WebSocketDisconnect:
        pass
