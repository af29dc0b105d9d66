"""Step 05, lesson: the WebSocket endpoint. Its name and its manager are dependencies, and it stores nothing."""

from typing import Annotated

from fastapi import APIRouter, Query, WebSocket
from pydantic import ValidationError

from .manager import ManagerDep
from .messages import EXPECTED_FORMAT, Message

router = APIRouter()
Name = Annotated[str, Query(min_length=1, max_length=20)]


@router.websocket("/ws/{room_id}")
async def chat(websocket: WebSocket, room_id: str, name: Name, manager: ManagerDep) -> None:
    await websocket.accept()
    await manager.join(room_id, name, websocket)
    try:
        while (event := await websocket.receive())["type"] != "websocket.disconnect":
            try:
                # A binary message has no text, and an empty one isn't JSON.
                message = Message.model_validate_json(event.get("text") or "")
            except ValidationError:
                await websocket.send_json({"type": "error", "detail": EXPECTED_FORMAT})
                continue
            await manager.broadcast(room_id, {"type": "message", "from": name, "text": message.text})
    finally:
        await manager.leave(room_id, name)
