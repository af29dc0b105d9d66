"""Starlette's `WebSocketEndpoint`, whose methods are called for each event."""

from contextlib import suppress
from typing import Any

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from pydantic import BaseModel, ValidationError
from starlette.endpoints import WebSocketEndpoint
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocketState


class Request(BaseModel):
    type: str
    text: Any = None


class Echo(WebSocketEndpoint):
    count = 0

    async def dispatch(self) -> None:
        with suppress(WebSocketDisconnect):
            await super().dispatch()

    async def decode(self, websocket: WebSocket, message: dict[str, Any]) -> Request | None:
        try:
            return Request.model_validate_json(message.get("text") or "")
        except ValidationError:
            return None

    async def on_connect(self, websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json({"type": "welcome"})

    async def on_receive(self, websocket: WebSocket, data: Request | None) -> None:
        if websocket.application_state is WebSocketState.DISCONNECTED:
            return  # This message came behind the bye.
        if data and data.type == "bye":
            await websocket.close(1000, "bye")
        elif data and data.type == "echo" and isinstance(data.text, str):
            self.count += 1
            await websocket.send_json({"type": "echo", "text": data.text, "count": self.count})
        else:
            await websocket.send_json({"type": "error", "detail": "expected an echo or a bye"})


app = FastAPI(routes=[WebSocketRoute("/ws", Echo)])
