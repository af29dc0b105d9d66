"""The socket. Reading it and the end of its session are waited for at the same time."""

import asyncio
import time

from fastapi import APIRouter, WebSocket

from .auth import AtTheDoor
from .manager import Manager, close, send
from .messages import Direct, Message, read

router = APIRouter()


@router.websocket("/ws/{room_id}")
async def chat(websocket: WebSocket, room_id: str, session: AtTheDoor, manager: Manager) -> None:
    name = session.user.name
    await websocket.accept()
    over = asyncio.create_task(session.ended.wait())
    try:
        await manager.join(room_id, name, websocket)
        while True:
            reading = asyncio.create_task(websocket.receive())
            remaining = session.expires - time.time()
            await asyncio.wait({reading, over}, timeout=max(0, remaining), return_when=asyncio.FIRST_COMPLETED)
            # A timer may be early by some milliseconds.
            if over.done() or time.time() >= session.expires:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
                await close([websocket], 4401, "")
                return
            if not reading.done():
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
                continue
            event = reading.result()
            if event["type"] == "websocket.disconnect":
                return
            if session.user.rights[room_id] == "read":
                await send([websocket], {"type": "error", "detail": "read only"})
                continue
            match read(event):
                case Message(text=text):
                    await send(manager.everybody(room_id), {"type": "message", "from": name, "text": text})
                case Direct(to=to, text=text) if tabs := list(manager.tabs(room_id, to)):
                    await send(tabs, {"type": "direct", "from": name, "text": text})
                case _:
                    await send([websocket], {"type": "error", "detail": "not understood, or nobody has this name"})
    finally:
        over.cancel()
        await manager.leave(room_id, name, websocket)
