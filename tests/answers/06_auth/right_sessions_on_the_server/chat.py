"""The socket. Its endpoint and the end of its session are waited for at the same time."""

import asyncio
import time

from fastapi import APIRouter, WebSocket

from .auth import AtTheDoor
from .manager import ManagerDep, close, send
from .messages import DirectMessage, Message, parse
from .tokens import Session

router = APIRouter()


@router.websocket("/ws/{room_id}")
async def chat(websocket: WebSocket, room_id: str, session: AtTheDoor, manager: ManagerDep) -> None:
    name = session.user.name
    await websocket.accept()
    talking = asyncio.create_task(talk(websocket, room_id, session, manager))
    over = asyncio.create_task(session.ended.wait())
    try:
        # A timer may be early by some milliseconds.
        remaining = session.expires_at - time.time() + 0.05
        await asyncio.wait({talking, over}, timeout=max(0, remaining), return_when=asyncio.FIRST_COMPLETED)
        if not talking.done():
            talking.cancel()
            await asyncio.gather(manager.leave(room_id, name, websocket), close([websocket], 4401, ""))
    finally:
        over.cancel()
        talking.cancel()
        await asyncio.gather(talking, return_exceptions=True)
        await manager.leave(room_id, name, websocket)


async def talk(websocket: WebSocket, room_id: str, session: Session, manager: ManagerDep) -> None:
    name = session.user.name
    await manager.join(room_id, name, websocket)
    while (event := await websocket.receive())["type"] != "websocket.disconnect":
        if session.user.permissions[room_id] == "read":
            await send([websocket], {"type": "error", "detail": "read only"})
            continue
        match parse(event):
            case Message(text=text):
                await send(manager.all_tabs(room_id), {"type": "message", "from": name, "text": text})
            case DirectMessage(to=to, text=text) if tabs := list(manager.tabs(room_id, to)):
                await send(tabs, {"type": "direct", "from": name, "text": text})
            case _:
                await send([websocket], {"type": "error", "detail": "not understood, or nobody has this name"})
