"""The sockets."""

import json
from contextlib import suppress

from fastapi import APIRouter, Depends, WebSocket, WebSocketDisconnect, WebSocketException

from .rooms import Rooms, TheRooms


class Visitor:
    def __init__(self, websocket: WebSocket, room_id: str = "", name: str | None = None) -> None:
        if not name or len(name) > 20:
            raise WebSocketException(1008)
        self.websocket, self.room_id, self.name = websocket, room_id, name

    async def announce(self, rooms: Rooms, event: str) -> None:
        await rooms.tell(rooms.listeners[:], json.dumps({"name": self.name, "room": self.room_id, "type": event}))


router = APIRouter(prefix="/api/chat", dependencies=[Depends(Visitor)])


async def close(websocket: WebSocket, code: int) -> None:
    with suppress(WebSocketDisconnect, RuntimeError):
        await websocket.close(code)


@router.websocket("/ws/announcements")
async def announcements(websocket: WebSocket, rooms: TheRooms) -> None:
    await websocket.accept()
    rooms.listeners.append(websocket)
    message = await websocket.receive()
    rooms.listeners.remove(websocket)
    if message["type"] != "websocket.disconnect":
        await close(websocket, 1008)


@router.websocket("/ws/{room_id}")
async def chat(rooms: TheRooms, websocket: WebSocket, room_id: str, visitor: Visitor = Depends()) -> None:  # noqa: B008
    await websocket.accept()
    rooms.members.append((room_id, websocket))
    try:
        await visitor.announce(rooms, "joined")
        while (message := await websocket.receive()).get("text") is not None:
            await rooms.tell([member for room, member in rooms.members if room == room_id], message["text"])
    finally:
        rooms.members.remove((room_id, websocket))
        await visitor.announce(rooms, "left")
    if message["type"] != "websocket.disconnect":
        await close(websocket, 1003)
