"""The sockets."""

import asyncio
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
    queue: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    listeners.add(queue)
    reader = asyncio.create_task(websocket.receive())
    try:
        while not reader.done():
            news = asyncio.create_task(queue.get())
            await asyncio.wait((reader, news), return_when=asyncio.FIRST_COMPLETED)
            if news.done():
                await websocket.send_json(news.result())
            else:
                news.cancel()
        if reader.result()["type"] == "websocket.receive":
            await websocket.close(1008)
    except DISCONNECT_ERRORS:
        pass
    finally:
        listeners.remove(queue)
        reader.cancel()


@router.websocket("/ws/{room_id}")
async def chat(websocket: WebSocket, room_id: str, name: Annotated[str, Depends(member_name)]) -> None:
    await websocket.accept()
    join(room_id, name, websocket)
    try:
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if message.get("text") is None:
                break
            await broadcast(room_id, message["text"])
    finally:
        leave(room_id, name, websocket)
    # It was a binary message. The member has left the room, so no broadcast sends to a closing connection.
    with suppress(*DISCONNECT_ERRORS):
        await websocket.close(1003)
