"""The socket."""

import asyncio

from fastapi import APIRouter, WebSocket

from .auth import SocketPrincipal
from .manager import ManagerDep, close, send
from .messages import EXPECTED_FORMAT, DirectMessage, Message, parse

LOG_IN_AGAIN = 4401

router = APIRouter()


async def watch(websocket: WebSocket, room_id: str, principal: SocketPrincipal, manager: ManagerDep) -> None:
    while principal.is_valid:
        await asyncio.sleep(0.1)
    leaving = manager.leave(room_id, principal.user.name, websocket)
    await asyncio.gather(leaving, close([websocket], LOG_IN_AGAIN, "log in again"))


@router.websocket("/ws/{room_id}")
async def chat(websocket: WebSocket, room_id: str, principal: SocketPrincipal, manager: ManagerDep) -> None:
    name = principal.user.name
    await websocket.accept()
    watcher = asyncio.create_task(watch(websocket, room_id, principal, manager))
    try:
        await manager.join(room_id, name, websocket)
        while (event := await websocket.receive())["type"] != "websocket.disconnect":
            if not principal.is_valid:
                continue  # What it sent before it knew is for nobody.
            if websocket not in manager.tabs(room_id, name):
                continue  # Removed: ignore messages that it sent before it received the close.
            if principal.user.permissions[room_id] != "write":
                await send([websocket], {"type": "error", "detail": "you may only read here"})
                continue
            match parse(event):
                case Message(text=text):
                    await send(manager.all_tabs(room_id), {"type": "message", "from": name, "text": text})
                case DirectMessage(to=to, text=text):
                    if tabs := list(manager.tabs(room_id, to)):
                        await send(tabs, {"type": "direct", "from": name, "text": text})
                    else:
                        await send([websocket], {"type": "error", "detail": f"{to} is not in this room"})
                case None:
                    await send([websocket], {"type": "error", "detail": EXPECTED_FORMAT})
    finally:
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)
        await manager.leave(room_id, name, websocket)
