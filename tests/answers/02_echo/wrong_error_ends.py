"""After an error the connection is closed.

Refused by: test_error
Says: the connection must go on after it
"""

import json

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()


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
                await websocket.close(1007)
                return
            count += 1
            await websocket.send_json({"type": "echo", "text": request["text"], "count": count})
    except WebSocketDisconnect:
        pass
