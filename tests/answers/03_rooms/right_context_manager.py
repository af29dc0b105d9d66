"""Membership as a context manager: whoever leaves the `with` block is out of its room."""

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import FastAPI, WebSocket

app = FastAPI()


class Room(list[WebSocket]):
    async def tell(self, text: str) -> None:
        for member in self[:]:
            try:
                await member.send_text(text)
            except Exception:
                continue  # it is gone, and its own endpoint takes it out


rooms: dict[str, Room] = {}


@contextmanager
def membership(room_id: str, websocket: WebSocket) -> Iterator[Room]:
    room = rooms.setdefault(room_id, Room())
    room.append(websocket)
    try:
        yield room
    finally:
        room.remove(websocket)
        if not room and rooms.get(room_id) is room:
            del rooms[room_id]


@app.get("/rooms")
async def list_rooms() -> dict[str, int]:
    return {room_id: len(room) for room_id, room in rooms.items()}


@app.get("/rooms/{room_id}")
async def count_members(room_id: str) -> int:
    return len(rooms.get(room_id, ()))


@app.websocket("/ws/{room_id}")
async def chat(room_id: str, websocket: WebSocket) -> None:
    await websocket.accept()
    with membership(room_id, websocket) as room:
        while (message := await websocket.receive())["type"] == "websocket.receive":
            text = message.get("text")
            if text is None:
                break
            await room.tell(text)
    if message["type"] == "websocket.receive":
        try:
            await websocket.close(1003)
        except Exception:
            return
