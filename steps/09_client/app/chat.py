"""Step 08, solution: the WebSocket endpoint."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, WebSocket, status

from .manager import ManagerDep
from .messages import EXPECTED_FORMAT, DirectMessage, Message, Pong, error, key_of, parse
from .tab import Tab

router = APIRouter()
Name = Annotated[str, Query(min_length=1, max_length=20)]
After = Annotated[int | None, Query(ge=0)]


@router.websocket("/ws/{room_id}")
async def chat(websocket: WebSocket, room_id: str, name: Name, manager: ManagerDep, after: After = None) -> None:
    if after is not None and after > manager.history(room_id).last_id:
        raise HTTPException(status.HTTP_403_FORBIDDEN, "No message has this id yet")
    await websocket.accept()
    tab = Tab(name, websocket)
    # In a group: if the writer fails, the endpoint ends too, so no tab stays open without a writer.
    async with asyncio.TaskGroup() as tasks:
        writer = tasks.create_task(tab.write())
        try:
            manager.join(room_id, tab, after)
            while (event := await websocket.receive())["type"] != "websocket.disconnect":
                tab.unanswered_pings = 0
                # Yield control to the writers: many messages may have arrived at the same time.
                await asyncio.sleep(0)
                if tab not in manager.tabs(room_id, name):
                    continue  # Removed: ignore messages that it sent before it received the close.
                match parse(event):
                    case Message(text=text, key=key):
                        try:
                            message_id = manager.post_message(room_id, name, text, key)
                        except OSError:
                            # The file may accept it later, so the client should send it again.
                            manager.send(room_id, [tab], error("the message can't be stored now", key, retry=True))
                            continue
                        if key:
                            manager.send(room_id, [tab], {"type": "ack", "key": key, "id": message_id})
                    case DirectMessage(to=to, text=text):
                        if tabs := list(manager.tabs(room_id, to)):
                            manager.send(room_id, tabs, {"type": "direct", "from": name, "text": text})
                        else:
                            manager.send(room_id, [tab], {"type": "error", "detail": f"{to} is not in this room"})
                    case Pong():
                        pass
                    case None:
                        manager.send(room_id, [tab], error(EXPECTED_FORMAT, key_of(event), retry=False))
        finally:
            manager.leave(room_id, tab)
            writer.cancel()
            tab.abort_later()
