"""The type is looked up in a dict of handlers, and a type that is a list cannot be a key.

Refused by: test_error
Says: TypeError: unhashable type: 'list'
"""

import json
from typing import Any

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()


class Session:
    def __init__(self, websocket: WebSocket) -> None:
        self.websocket = websocket
        self.count = 0
        self.handlers = {"echo": self.on_echo, "bye": self.on_bye}

    async def on_echo(self, request: dict[str, Any]) -> None:
        if not isinstance(request.get("text"), str):
            await self.on_error(request)
            return
        self.count += 1
        await self.websocket.send_json({"type": "echo", "text": request["text"], "count": self.count})

    async def on_bye(self, request: dict[str, Any]) -> None:
        await self.websocket.close(1000, "bye")

    async def on_error(self, request: object) -> None:
        await self.websocket.send_json({"type": "error", "detail": "not understood"})

    async def run(self) -> None:
        await self.websocket.send_json({"type": "welcome"})
        while (message := await self.websocket.receive())["type"] != "websocket.disconnect":
            try:
                request = json.loads(message.get("text") or "")
            except ValueError:
                request = None
            kind = request.get("type") if isinstance(request, dict) else None
            await self.handlers.get(kind, self.on_error)(request)


@app.websocket("/ws")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        await Session(websocket).run()
    except WebSocketDisconnect:
        pass
