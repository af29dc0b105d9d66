"""Step 06, exercise: the WebSocket endpoint."""

from typing import Annotated

from fastapi import APIRouter, Query, WebSocket

from .manager import ManagerDep, send
from .messages import EXPECTED_FORMAT, DirectMessage, Message, parse

# TODO 2: get the principal from a dependency in auth.py, instead of the name. The member's name is the user's.
# TODO 4: in auth.py, reject a user without a permission in the room with 403, also in a room for which no user has
#         one. A user with the permission "read" gets all messages. If such a user sends one, send it to no tab, and
#         answer with an error.
# TODO 6: close a connection with 4401 when its token expires: not earlier, and at most 2 seconds later, whether its
#         client sends or not. By then its tab is off the list, even if its client reads nothing.

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
