"""The count lives beside the app, so all connections count together.

Refused by: test_echo
Says: the count is shared by all connections
"""

import json

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()
count = 0


@app.websocket("/ws")
async def echo(websocket: WebSocket):
    global count
    await websocket.accept()
    await websocket.send_json({"type": "welcome"})
    try:
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                break
            try:
                data = json.loads(message.get("text") or "")
                if data["type"] == "bye":
                    await websocket.close(1000, "bye")
                    break
                if data["type"] != "echo" or not isinstance(data["text"], str):
                    raise ValueError
            except (ValueError, KeyError, TypeError):
                await websocket.send_json({"type": "error", "detail": "not understood"})
                continue
            count += 1
            await websocket.send_json({"type": "echo", "text": data["text"], "count": count})
    except WebSocketDisconnect:
        pass
