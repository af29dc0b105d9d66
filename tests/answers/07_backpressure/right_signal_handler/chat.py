"""The socket."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, WebSocket

from .manager import ManagerDep
from .messages import EXPECTED_FORMAT, DirectMessage, Message, Pong, parse
from .tab import Tab

router = APIRouter()
Name = Annotated[str, Query(min_length=1, max_length=20)]


@router.websocket("/ws/{room_id}")
async def chat(websocket: WebSocket, room_id: str, name: Name, manager: ManagerDep) -> None:
    await websocket.accept()
    tab = Tab(name, websocket)
    # In a group: if the writer fails, the endpoint ends too, so no tab stays open without a writer.
    async with asyncio.TaskGroup() as tasks:
        writer = tasks.create_task(tab.write())
        try:
            manager.join(room_id, tab)
            manager.ping_tabs(room_id, tab)
            while (event := await websocket.receive())["type"] != "websocket.disconnect":
                tab.last_frame_at = asyncio.get_running_loop().time()
                if tab not in manager.tabs(room_id, name):
                    continue  # Removed: ignore messages that it sent before it received the close.
                match parse(event):
                    case Message(text=text):
                        manager.post_message(room_id, name, text)
                    case DirectMessage(to=to, text=text):
                        if tabs := list(manager.tabs(room_id, to)):
                            manager.send(room_id, tabs, {"type": "direct", "from": name, "text": text})
                        else:
                            manager.send(room_id, [tab], {"type": "error", "detail": f"{to} is not in this room"})
                    case Pong():
                        pass
                    case None:
                        manager.send(room_id, [tab], {"type": "error", "detail": EXPECTED_FORMAT})
                # Yield control to the writers: many messages may have arrived at the same time.
                await asyncio.sleep(0)
        finally:
            manager.leave(room_id, tab)
            writer.cancel()
            tab.abort_when_stuck()
