"""The socket."""

import asyncio

from fastapi import APIRouter, WebSocket

from .auth import Visitor
from .manager import Manager, close, send
from .messages import EXPECTED, Direct, Message, read

LOG_IN_AGAIN = 4401

router = APIRouter()


async def watch(websocket: WebSocket, room_id: str, visitor: Visitor, manager: Manager) -> None:
    while visitor.is_good:
        await asyncio.sleep(0.1)
    leaving = manager.leave(room_id, visitor.user.name, websocket)
    await asyncio.gather(leaving, close([websocket], LOG_IN_AGAIN, "log in again"))


@router.websocket("/ws/{room_id}")
async def chat(websocket: WebSocket, room_id: str, visitor: Visitor, manager: Manager) -> None:
    name = visitor.user.name
    await websocket.accept()
    watcher = asyncio.create_task(watch(websocket, room_id, visitor, manager))
    try:
        await manager.join(room_id, name, websocket)
        while (event := await websocket.receive())["type"] != "websocket.disconnect":
            if not visitor.is_good:
                continue  # What it sent before it knew is for nobody.
            if websocket not in manager.tabs(room_id, name):
                continue  # Removed: what it sent before it knew is for nobody.
            if visitor.user.rights[room_id] != "write":
                await send([websocket], {"type": "error", "detail": "you may only read here"})
                continue
            match read(event):
                case Message(text=text):
                    await send(manager.everybody(room_id), {"type": "message", "from": name, "text": text})
                case Direct(to=to, text=text):
                    if tabs := list(manager.tabs(room_id, to)):
                        await send(tabs, {"type": "direct", "from": name, "text": text})
                    else:
                        await send([websocket], {"type": "error", "detail": f"{to} is not in this room"})
                case None:
                    await send([websocket], {"type": "error", "detail": EXPECTED})
    finally:
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)
        await manager.leave(room_id, name, websocket)
