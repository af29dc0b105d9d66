"""Step 05: the WebSocket endpoint."""

from typing import Annotated

from fastapi import APIRouter, Query, WebSocket

from .manager import ManagerDep, Session, send
from .messages import EXPECTED_FORMAT, DirectMessage, Message, parse

router = APIRouter()


@router.websocket("/ws/{room_id}")
async def chat(
    websocket: WebSocket, room_id: str, manager: ManagerDep, name: Annotated[str, Query(min_length=1, max_length=20)]
) -> None:
    await websocket.accept()
    session = Session(room_id, name, websocket)
    await manager.join(session)
    try:
        while True:
            event = await websocket.receive()
            if event["type"] == "websocket.disconnect":
                break
            if session not in manager.sessions:
                continue
            message = parse(event)
            if isinstance(message, Message):
                await send(manager.of(room_id), {"type": "message", "from": name, "text": message.text})
            elif isinstance(message, DirectMessage) and manager.of(room_id, message.to):
                await send(manager.of(room_id, message.to), {"type": "direct", "from": name, "text": message.text})
            else:
                await send([session], {"type": "error", "detail": EXPECTED_FORMAT})
    finally:
        await manager.leave(session)
