"""`receive_json()` has parsed the text already, and `json.loads` cannot parse a dict.

Refused by: test_echo
Says: your code raised an error there
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
            request = json.loads(await websocket.receive_json())
            if request.get("type") == "bye":
                await websocket.close(1000, "bye")
                return
            count += 1
            await websocket.send_json({"type": "echo", "text": request["text"], "count": count})
    except WebSocketDisconnect:
        pass
