"""Step 06, solution: the WebSocket endpoint."""

import asyncio

from fastapi import APIRouter, WebSocket

from .auth import SocketPrincipal
from .manager import ManagerDep, close, send
from .messages import EXPECTED_FORMAT, DirectMessage, Message, parse

LOG_IN_AGAIN = 4401

router = APIRouter()


@router.websocket("/ws/{room_id}")
async def chat(websocket: WebSocket, room_id: str, principal: SocketPrincipal, manager: ManagerDep) -> None:
    name = principal.user.name
    await websocket.accept()
    try:
        async with manager.session(principal):
            await manager.join(room_id, name, websocket)
            while (event := await websocket.receive())["type"] != "websocket.disconnect":
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
    except TimeoutError:
        # Concurrently, because both may wait for a client that reads nothing.
        await asyncio.gather(manager.leave(room_id, name, websocket), close([websocket], LOG_IN_AGAIN, "log in again"))
    finally:
        await manager.leave(room_id, name, websocket)
