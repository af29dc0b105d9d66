"""Step 06, exercise: the socket."""

from typing import Annotated

from fastapi import APIRouter, Query, WebSocket

from .manager import Manager, send
from .messages import EXPECTED, Direct, Message, read

# TODO 4: only who has a right in the room gets in, everybody else is refused with HTTP 403, and so is everybody in
#         a room that no user has a right in. The name is the user's. Who may only read hears everything; what it
#         sends is answered with an error, and reaches nobody.

router = APIRouter()
Name = Annotated[str, Query(min_length=1, max_length=20)]


@router.websocket("/ws/{room_id}")
async def chat(websocket: WebSocket, room_id: str, name: Name, manager: Manager) -> None:
    await websocket.accept()
    try:
        await manager.join(room_id, name, websocket)
        while (event := await websocket.receive())["type"] != "websocket.disconnect":
            if websocket not in manager.tabs(room_id, name):
                continue  # Removed: what it sent before it knew is for nobody.
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
        await manager.leave(room_id, name, websocket)
