"""Each welcome takes its time with `time.sleep`, and meanwhile everybody else waits.

Refused by: test_vanish
Says: the server answers nobody any more: time.sleep
"""

import json
import time

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()


def load_profile() -> None:
    time.sleep(0.4)  # it stands for a database, a model, a file


@app.websocket("/ws")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    count = 0
    try:
        load_profile()
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
