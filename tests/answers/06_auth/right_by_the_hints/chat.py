"""The socket."""

import asyncio
import time
from typing import Annotated

from fastapi import APIRouter, Depends, WebSocket

from .auth import get_visitor
from .manager import Manager, close, send
from .messages import EXPECTED, Direct, Message, read
from .tokens import Grant

router = APIRouter()
Visitor = Annotated[Grant, Depends(get_visitor)]


@router.websocket("/ws/{room_id}")
async def chat(websocket: WebSocket, room_id: str, visitor: Visitor, manager: Manager) -> None:
    name = visitor.user.name
    await websocket.accept()
    try:
        async with asyncio.timeout(visitor.expires - time.time() + 0.1) as limit:
            manager.limits.setdefault(name, set()).add(limit)
            try:
                if not visitor.counts():
                    raise TimeoutError
                await manager.join(room_id, name, websocket)
                while (event := await websocket.receive())["type"] != "websocket.disconnect":
                    if websocket not in manager.tabs(room_id, name):
                        continue  # Removed: what it sent before it knew is for nobody.
                    if visitor.user.rights[room_id] != "write":
                        await send([websocket], {"type": "error", "detail": "you may only read"})
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
                manager.limits[name].remove(limit)
    except TimeoutError:
        await asyncio.gather(manager.leave(room_id, name, websocket), close([websocket], 4401, "log in again"))
    finally:
        await manager.leave(room_id, name, websocket)
