"""The socket."""

import asyncio
import time
from typing import Annotated

from fastapi import APIRouter, Depends, WebSocket

from .auth import authenticate_socket
from .manager import ManagerDep, close, send
from .messages import EXPECTED_FORMAT, DirectMessage, Message, parse
from .tokens import Principal

router = APIRouter()
SocketPrincipal = Annotated[Principal, Depends(authenticate_socket)]


@router.websocket("/ws/{room_id}")
async def chat(websocket: WebSocket, room_id: str, principal: SocketPrincipal, manager: ManagerDep) -> None:
    name = principal.user.name
    await websocket.accept()
    try:
        async with asyncio.timeout(principal.expires_at - time.time() + 0.1) as timeout:
            manager.session_timeouts.setdefault(name, set()).add(timeout)
            try:
                if not principal.counts():
                    raise TimeoutError
                await manager.join(room_id, name, websocket)
                while (event := await websocket.receive())["type"] != "websocket.disconnect":
                    if websocket not in manager.tabs(room_id, name):
                        continue  # Removed: ignore messages that it sent before it received the close.
                    if principal.user.permissions[room_id] != "write":
                        await send([websocket], {"type": "error", "detail": "you may only read"})
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
                manager.session_timeouts[name].remove(timeout)
    except TimeoutError:
        await asyncio.gather(manager.leave(room_id, name, websocket), close([websocket], 4401, "log in again"))
    finally:
        await manager.leave(room_id, name, websocket)
