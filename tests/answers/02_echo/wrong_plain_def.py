"""The endpoint is a plain `def`, and `await` in it does not compile.

Refused by: starts
Says: SyntaxError: 'await' outside async function
"""

import json

from fastapi import FastAPI, WebSocket

app = FastAPI()


@app.websocket("/ws")
def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_json({"type": "welcome"})
    count = 0
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            break
        try:
            request = json.loads(message.get("text") or "")
            kind, text = request["type"], request.get("text")
        except (ValueError, KeyError, TypeError):
            kind = text = None
        if kind == "bye":
            await websocket.close(1000, "bye")
            break
        if kind == "echo" and isinstance(text, str):
            count += 1
            await websocket.send_json({"type": "echo", "text": text, "count": count})
        else:
            await websocket.send_json({"type": "error", "detail": "expected an echo or a bye"})
