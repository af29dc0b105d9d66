"""Step 08, exercise: the socket."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, WebSocket

from .manager import Manager
from .messages import EXPECTED, Direct, Message, Pong, read
from .tab import Tab

# TODO 1: ?after= that is no whole number, negative, or beyond the last id of the room is refused with 403.
# TODO 2: a message with a key is answered {"type": "ack", "key": K, "id": I}. Without a key, send no ack. If the
#         message is bad and its key is valid, the error has "key": K and "retry": false: see key_of() and error().
# TODO 3: if the journal can't take a message that has a key, the error has "key": K and "retry": true.

router = APIRouter()
Name = Annotated[str, Query(min_length=1, max_length=20)]


@router.websocket("/ws/{room_id}")
async def chat(websocket: WebSocket, room_id: str, name: Name, manager: Manager) -> None:
    await websocket.accept()
    tab = Tab(name, websocket)
    # In a group, so that a writer that fails ends the endpoint too, and no tab stays without one.
    async with asyncio.TaskGroup() as tasks:
        writer = tasks.create_task(tab.write())
        try:
            manager.join(room_id, tab)
            while (event := await websocket.receive())["type"] != "websocket.disconnect":
                tab.unanswered_pings = 0
                # A whole burst may have arrived already. Let the writers send in between.
                await asyncio.sleep(0)
                if tab not in manager.tabs(room_id, name):
                    continue  # Removed: what it sent before it knew is for nobody.
                match read(event):
                    case Message(text=text):
                        manager.message(room_id, name, text)
                    case Direct(to=to, text=text):
                        if tabs := list(manager.tabs(room_id, to)):
                            manager.send(room_id, tabs, {"type": "direct", "from": name, "text": text})
                        else:
                            manager.send(room_id, [tab], {"type": "error", "detail": f"{to} is not in this room"})
                    case Pong():
                        pass
                    case None:
                        manager.send(room_id, [tab], {"type": "error", "detail": EXPECTED})
        finally:
            manager.leave(room_id, tab)
            writer.cancel()
            tab.abort_later()
