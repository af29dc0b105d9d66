"""Starlette's `WebSocketEndpoint`, and one flat dict from each member to its room."""

from collections import Counter
from contextlib import suppress
from typing import Any

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from starlette.endpoints import WebSocketEndpoint
from starlette.routing import WebSocketRoute

rooms: dict[WebSocket, str] = {}


class Chat(WebSocketEndpoint):
    async def on_connect(self, websocket: WebSocket) -> None:
        await websocket.accept()
        rooms[websocket] = websocket.path_params["room_id"]

    async def decode(self, websocket: WebSocket, message: dict[str, Any]) -> str | None:
        return message.get("text")

    async def on_receive(self, websocket: WebSocket, data: str | None) -> None:
        if data is None:
            rooms.pop(websocket, None)
            with suppress(WebSocketDisconnect, RuntimeError):
                await websocket.close(1003)
            return
        members = [member for member, room_id in rooms.items() if room_id == rooms.get(websocket)]
        for member in members:
            with suppress(WebSocketDisconnect, RuntimeError):
                await member.send_text(data)

    async def on_disconnect(self, websocket: WebSocket, close_code: int) -> None:
        rooms.pop(websocket, None)


app = FastAPI(routes=[WebSocketRoute("/ws/{room_id}", Chat)])


@app.get("/rooms")
async def list_rooms() -> Counter[str]:
    return Counter(rooms.values())
