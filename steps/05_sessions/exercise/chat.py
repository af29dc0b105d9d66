"""Step 05, exercise: the socket. It asks for the name and for the manager, and keeps nothing itself."""

from typing import Annotated

from fastapi import APIRouter, Query, WebSocket

from .manager import Manager
from .messages import Direct, Message, read

# TODO 2: a message reaches every tab in the room as {"type": "message", "from": N, "text": T}. What read() cannot
#         read is answered with {"type": "error", "detail": "..."} to that socket alone, and the connection goes on.
# TODO 3: a direct message reaches all tabs of the name it is for, and nobody else, as
#         {"type": "direct", "from": N, "text": T}. If that name is not in the room, the asking tab gets an error.

router = APIRouter()
Name = Annotated[str, Query(min_length=1, max_length=20)]


@router.websocket("/ws/{room_id}")
async def chat(websocket: WebSocket, room_id: str, name: Name, manager: Manager) -> None:
    await websocket.accept()
    await manager.join(room_id, name, websocket)
    try:
        while (event := await websocket.receive())["type"] != "websocket.disconnect":
            match read(event):
                case Message(text=text):
                    await manager.broadcast(room_id, {"type": "message", "text": text})
                case Direct():
                    pass
                case None:
                    return
    finally:
        await manager.leave(room_id, name)
