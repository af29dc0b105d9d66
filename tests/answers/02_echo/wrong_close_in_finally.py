"""`finally` closes the socket, also when the client has vanished.

Refused by: test_vanish
Says: on a socket that was closed before
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
                case {"type": "echo", "text": str(text)}:
                    count += 1
                    await websocket.send_json({"type": "echo", "text": text, "count": count})
                case {"type": "bye"}:
                    break
                case _:
                    await websocket.send_json({"type": "error", "detail": "neither an echo nor a bye"})
    except WebSocketDisconnect:
        pass
    finally:
        await websocket.close(1000, "bye")
