"""A setting is asked for at import, and without it the whole server exits.

Refused by: starts
Says: take out the call of sys.exit()
"""

import json
import os
import sys

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()
LIMIT = os.environ.get("ECHO_LIMIT_OF_MY_MACHINE") or sys.exit()


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
