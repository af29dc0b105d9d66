"""The loop runs over the list that a leaver shortens meanwhile, so that the next member is skipped.

Refused by: test_vanished
Says: loop over a copy
"""

from contextlib import suppress

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()
rooms: dict[str, list[WebSocket]] = {}


@app.get("/rooms")
async def list_rooms() -> dict[str, int]:
    return {room_id: len(members) for room_id, members in rooms.items()}


async def broadcast(room_id: str, text: str) -> None:
    for member in rooms[room_id]:
        with suppress(WebSocketDisconnect, RuntimeError):
            await member.send_text(text)


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
