"""The bytes of a binary frame are decoded and read as if they were a text.

Refused by: test_binary
Says: a binary frame is an error whatever it holds
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
                text = message.get("text")
                request = json.loads(message["bytes"] if text is None else text)
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
