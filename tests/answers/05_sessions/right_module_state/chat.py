"""Step 05: the WebSocket endpoint."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Query, WebSocket, WebSocketDisconnect

from .manager import leave, names, rooms, tell, tell_one

router = APIRouter()


def is_text(value: Any) -> bool:
    # JSON can hold half an emoji, as in "\ud83d". UTF-8 can't, so it can't be sent.
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


def parse(event: dict[str, Any]) -> dict[str, Any] | None:
    try:
        data = json.loads(event.get("text") or "")
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or data.get("type") not in ("message", "direct"):
        return None
    needed = ("text", "to") if data["type"] == "direct" else ("text",)
    return data if all(is_text(data.get(key)) for key in needed) else None


@router.websocket("/ws/{room_id}")
async def chat(websocket: WebSocket, room_id: str, name: Annotated[str, Query(min_length=1, max_length=20)]) -> None:
    await websocket.accept()
    try:
        new = name not in names(room_id)
        rooms.setdefault(room_id, []).append((name, websocket))
        await websocket.send_json({"type": "members", "names": names(room_id)})
        if new:
            await tell(room_id, {"type": "joined", "name": name}, exclude=name)
        while (event := await websocket.receive())["type"] == "websocket.receive":
            if (name, websocket) not in rooms.get(room_id, []):
                continue
            data = parse(event)
            if data is None:
                await tell_one(websocket, {"type": "error", "detail": "a message or a direct message, please"})
            elif data["type"] == "message":
                await tell(room_id, {"type": "message", "from": name, "text": data["text"]})
            elif not await tell(room_id, {"type": "direct", "from": name, "text": data["text"]}, to=data["to"]):
                await tell_one(websocket, {"type": "error", "detail": "nobody here has that name"})
    except (WebSocketDisconnect, RuntimeError):
        pass  # The client left before it got the list.
    finally:
        await leave(room_id, name, websocket)
