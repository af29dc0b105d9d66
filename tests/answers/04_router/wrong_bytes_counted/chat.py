"""The sockets."""

from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Depends, WebSocket, WebSocketException, status

from .rooms import GONE, broadcast, join, leave, listeners


async def member_name(name: str) -> str:
    if not 1 <= len(name.encode()) <= 20:
        raise WebSocketException(status.WS_1008_POLICY_VIOLATION, "1 to 20 characters")
    return name


# On the router, so that no socket below can forget to ask for the name.
router = APIRouter(prefix="/api/chat", dependencies=[Depends(member_name)])


# Before /ws/{room_id}: the first path that matches is taken.
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
    # A binary frame came. The member is out of the room by now, so nobody sends to a closing socket.
    with suppress(*GONE):
        await websocket.close(1003)
