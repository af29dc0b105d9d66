"""The frames are read with `receive_text()`, which raises `KeyError` on a binary one and ends the session.

Refused by: test_binary
Says: receive_text() raises KeyError on a binary frame
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
            text = await websocket.receive_text()
            try:
                request = json.loads(text)
            except json.JSONDecodeError as error:
                await websocket.send_json({"type": "error", "detail": f"not JSON: {error}"})
                continue
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
