"""The parameter `websocket` has no annotation, so FastAPI takes it for a query parameter and refuses with 403.

Refused by: test_welcome
Says: websocket has no annotation WebSocket
"""

import json

from fastapi import FastAPI, WebSocketDisconnect

app = FastAPI()


@app.websocket("/ws")
async def echo(websocket) -> None:
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
