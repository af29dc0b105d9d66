"""`asyncio.gather` without `return_exceptions` raises the first error of a send in the endpoint of the sender.

Refused by: test_vanished
Says: by a send in the endpoint of whoever sends
"""

import asyncio
from contextlib import suppress

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()
rooms: dict[str, list[WebSocket]] = {}


@app.get("/rooms")
async def list_rooms() -> dict[str, int]:
    return {room_id: len(members) for room_id, members in rooms.items()}


async def broadcast(room_id: str, text: str) -> None:
    await asyncio.gather(*(member.send_text(text) for member in rooms[room_id]))


@app.websocket("/ws/{room_id}")
async def chat(websocket: WebSocket, room_id: str) -> None:
    await websocket.accept()
    rooms.setdefault(room_id, []).append(websocket)
    binary = False
    try:
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                break
            if message.get("text") is None:
                binary = True
                break
            await broadcast(room_id, message["text"])
    finally:
        rooms[room_id].remove(websocket)
        if not rooms[room_id]:
            del rooms[room_id]
    if binary:
        with suppress(WebSocketDisconnect, RuntimeError):
            await websocket.close(1003)
