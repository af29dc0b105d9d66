"""Step 05, exercise: the WebSocket endpoint. Its name and its manager are dependencies, and it stores nothing."""

from typing import Annotated

from fastapi import APIRouter, Query, WebSocket

from .manager import ManagerDep
from .messages import DirectMessage, Message, parse

# TODO 2: send a message to all tabs in the room, as {"type": "message", "from": N, "text": T}. If parse() returns None,
#         send {"type": "error", "detail": "..."} to this tab only. The connection stays open.
# TODO 3: send a direct message to all tabs of the member it's addressed to, and to no other tab, as
#         {"type": "direct", "from": N, "text": T}. If that name isn't in the room, send an error to the sender's tab.

router = APIRouter()
Name = Annotated[str, Query(min_length=1, max_length=20)]


@router.websocket("/ws/{room_id}")
async def chat(websocket: WebSocket, room_id: str, name: Name, manager: ManagerDep) -> None:
    await websocket.accept()
    await manager.join(room_id, name, websocket)
    try:
        while (event := await websocket.receive())["type"] != "websocket.disconnect":
            match parse(event):
                case Message(text=text):
                    await manager.broadcast(room_id, {"type": "message", "text": text})
                case DirectMessage():
                    pass
                case None:
                    return
    finally:
        await manager.leave(room_id, name)
