"""Step 05: the socket."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Query, WebSocket

from .manager import leave, names, rooms, tell, tell_one

router = APIRouter()


def parse(event: dict[str, Any]) -> dict[str, Any] | None:
    try:
        data = json.loads(event.get("text") or "")
    except ValueError:
        return None
    if not isinstance(data, dict) or data.get("type") not in ("message", "direct"):
        return None
    needed = ("text", "to") if data["type"] == "direct" else ("text",)
    return data if all(isinstance(data.get(key), str) for key in needed) else None


@router.websocket("/ws/{room_id}")
async def chat(websocket: WebSocket, room_id: str, name: Annotated[str, Query(min_length=1, max_length=20)]) -> None:
    await websocket.accept()
    try:
        new = name not in names(room_id)
        rooms.setdefault(room_id, []).append((name, websocket))
        await websocket.send_json({"type": "members", "names": names(room_id)})
        if new:
            await tell(room_id, {"type": "joined", "name": name}, but=name)
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
    except RuntimeError:
        pass  # gone before it was told who is there
    finally:
        await leave(room_id, name, websocket)
