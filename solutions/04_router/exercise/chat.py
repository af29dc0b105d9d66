"""Step 04, solution: the WebSocket endpoints."""

from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Depends, Query, WebSocket

from .rooms import DISCONNECT_ERRORS, broadcast, join, leave, listeners


async def member_name(name: Annotated[str, Query(min_length=1, max_length=20)]) -> str:
    return name


# On the router, so every endpoint below requires the name.
router = APIRouter(prefix="/api/chat", dependencies=[Depends(member_name)])


# Before /ws/{room_id}, because the first route that matches is used.
@router.websocket("/ws/announcements")
async def announcements(websocket: WebSocket) -> None:
    await websocket.accept()
    listeners.add(websocket)
    try:
        message = await websocket.receive()
    finally:
        listeners.remove(websocket)
    if message["type"] == "websocket.receive":
        with suppress(*DISCONNECT_ERRORS):
            await websocket.close(1008)


@router.websocket("/ws/{room_id}")
async def chat(websocket: WebSocket, room_id: str, name: Annotated[str, Depends(member_name)]) -> None:
    await websocket.accept()
    await join(room_id, name, websocket)
    try:
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if message.get("text") is None:
                break
            await broadcast(room_id, message["text"])
    finally:
        await leave(room_id, name, websocket)
    # It was a binary message. The member has left the room, so no broadcast sends to a closing connection.
    with suppress(*DISCONNECT_ERRORS):
        await websocket.close(1003)
