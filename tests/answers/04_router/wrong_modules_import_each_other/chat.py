"""The sockets, and their rooms."""

from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Depends, Query, WebSocket

from .lobby import GONE, announce, listeners


async def member_name(name: Annotated[str, Query(min_length=1, max_length=20)]) -> str:
    return name


router = APIRouter(prefix="/api/chat", dependencies=[Depends(member_name)])
rooms: dict[str, set[WebSocket]] = {}


async def broadcast(room_id: str, text: str) -> None:
    for member in list(rooms[room_id]):
        with suppress(*GONE):
            await member.send_text(text)


@router.websocket("/ws/announcements")
async def announcements(websocket: WebSocket) -> None:
    await websocket.accept()
    listeners.add(websocket)
    try:
        message = await websocket.receive()
    finally:
        listeners.remove(websocket)
    if message["type"] == "websocket.receive":
        with suppress(*GONE):
            await websocket.close(1008)


@router.websocket("/ws/{room_id}")
async def chat(websocket: WebSocket, room_id: str, name: Annotated[str, Depends(member_name)]) -> None:
    await websocket.accept()
    rooms.setdefault(room_id, set()).add(websocket)
    await announce("joined", room_id, name)
    try:
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if message.get("text") is None:
                break
            await broadcast(room_id, message["text"])
    finally:
        rooms[room_id].remove(websocket)
        if not rooms[room_id]:
            del rooms[room_id]
        await announce("left", room_id, name)
    with suppress(*GONE):
        await websocket.close(1003)
