"""The broadcast is a task of its sender's endpoint, and is cancelled when the sender leaves.

Refused by: test_skip
Says: what was received must still reach everybody
"""

import asyncio
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


async def tell_all(room: Room, outbox: asyncio.Queue[str]) -> None:
    while True:
        await room.tell(await outbox.get())


@app.get("/rooms")
async def list_rooms() -> dict[str, int]:
    return {room_id: len(room) for room_id, room in rooms.items()}


@app.get("/rooms/{room_id}")
async def count_members(room_id: str) -> int:
    return len(rooms.get(room_id, ()))


@app.websocket("/ws/{room_id}")
async def chat(room_id: str, websocket: WebSocket) -> None:
    await websocket.accept()
    outbox: asyncio.Queue[str] = asyncio.Queue()
    with membership(room_id, websocket) as room:
        teller = asyncio.create_task(tell_all(room, outbox))
        while (message := await websocket.receive())["type"] == "websocket.receive":
            text = message.get("text")
            if text is None:
                break
            outbox.put_nowait(text)
        teller.cancel()
    if message["type"] == "websocket.receive":
        try:
            await websocket.close(1003)
        except Exception:
            return
