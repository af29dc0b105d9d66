"""Step 05: the socket, which reads, and a task, which writes."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, WebSocket

from .manager import ManagerDep, Tab
from .messages import EXPECTED_FORMAT, DirectMessage, Message, parse

router = APIRouter()


@router.websocket("/ws/{room_id}")
async def chat(
    websocket: WebSocket, room_id: str, name: Annotated[str, Query(min_length=1, max_length=20)], manager: ManagerDep
) -> None:
    await websocket.accept()
    tab = Tab(websocket)
    writer = asyncio.create_task(tab.write())
    manager.join(room_id, name, tab)
    try:
        while True:
            event = await websocket.receive()
            if event["type"] == "websocket.disconnect":
                break
            if tab not in manager.rooms.get(room_id, {}).get(name, []):
                continue
            match parse(event):
                case Message(text=text):
                    manager.tell(room_id, {"type": "message", "from": name, "text": text})
                case DirectMessage(to=to, text=text) if to in manager.rooms[room_id]:
                    for other in manager.rooms[room_id][to]:
                        other.queue.put_nowait({"type": "direct", "from": name, "text": text})
                case _:
                    tab.queue.put_nowait({"type": "error", "detail": EXPECTED_FORMAT})
    finally:
        manager.leave(room_id, name, tab)
        writer.cancel()
