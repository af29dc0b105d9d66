"""Step 05, solution: the WebSocket endpoint."""

from typing import Annotated

from fastapi import APIRouter, Query, WebSocket

from .manager import ManagerDep, send
from .messages import EXPECTED_FORMAT, DirectMessage, Message, parse

router = APIRouter()
Name = Annotated[str, Query(min_length=1, max_length=20)]


@router.websocket("/ws/{room_id}")
async def chat(websocket: WebSocket, room_id: str, name: Name, manager: ManagerDep) -> None:
    await websocket.accept()
    try:
        await manager.join(room_id, name, websocket)
        while (event := await websocket.receive())["type"] != "websocket.disconnect":
            if websocket not in manager.tabs(room_id, name):
                continue  # Removed: ignore messages that it sent before it received the close.
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
        await manager.leave(room_id, name, websocket)
