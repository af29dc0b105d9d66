"""`if message.get("bytes")` does not see an empty binary frame.

Refused by: test_binary
Says: an empty binary frame is taken for something else
"""

from contextlib import suppress

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()
rooms: dict[str, list[WebSocket]] = {}


@app.get("/rooms")
async def list_rooms() -> dict[str, int]:
    return {room_id: len(members) for room_id, members in rooms.items()}


async def broadcast(room_id: str, text: str) -> None:
    for member in list(rooms[room_id]):
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
            if message.get("bytes"):
                binary = True
                break
            if (text := message.get("text")) is not None:
                await broadcast(room_id, text)
    finally:
        rooms[room_id].remove(websocket)
        if not rooms[room_id]:
            del rooms[room_id]
    if binary:
        with suppress(WebSocketDisconnect, RuntimeError):
            await websocket.close(1003)
