"""The socket."""

import asyncio
import os
from typing import Annotated

from fastapi import APIRouter, Query, WebSocket

from .messages import EXPECTED, Direct, Message, Pong, read
from .rooms import Room, rooms
from .tab import Tab

HEARTBEAT = float(os.environ.get("HEARTBEAT", "10"))
router = APIRouter()


@router.websocket("/ws/{room_id}")
async def chat(websocket: WebSocket, room_id: str, name: Annotated[str, Query(min_length=1, max_length=20)]) -> None:
    await websocket.accept()
    room = rooms.setdefault(room_id, Room())
    tab = Tab(websocket, name, room.forget)
    transport = websocket.scope["extensions"]["transport"]["transport"]
    room.enter(tab)
    writer = asyncio.create_task(tab.quietly(tab.write()))
    reader = asyncio.create_task(listen(websocket, room, tab))
    watcher = asyncio.create_task(tab.watch(HEARTBEAT))
    closing = asyncio.create_task(farewell(tab, reader))
    try:
        await asyncio.wait({reader, closing}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        room.forget(tab)
        for task in (writer, reader, watcher, closing):
            task.cancel()
        # It may be closed long since. If not, it has a second to take what is on the way.
        asyncio.get_running_loop().call_later(1, transport.abort)


async def farewell(tab: Tab, reader: asyncio.Task[None]) -> None:
    while not tab.goodbye:
        await asyncio.sleep(0.1)
    await asyncio.wait({reader}, timeout=1.5)


async def listen(websocket: WebSocket, room: Room, tab: Tab) -> None:
    while (event := await websocket.receive())["type"] != "websocket.disconnect":
        tab.heard = asyncio.get_running_loop().time()
        if tab.goodbye:
            continue
        match read(event):
            case Message(text=text):
                room.say(tab.name, text)
            case Direct(to=to, text=text):
                if tabs := room.of(to):
                    room.tell({"type": "direct", "from": tab.name, "text": text}, tabs)
                else:
                    room.tell({"type": "error", "detail": "nobody has this name"}, [tab])
            case Pong():
                pass
            case None:
                room.tell({"type": "error", "detail": EXPECTED}, [tab])
        await asyncio.sleep(0)
