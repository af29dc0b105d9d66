"""The socket."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, WebSocket

from .messages import EXPECTED_FORMAT, DirectMessage, Message, Pong, parse
from .rooms import Room, rooms
from .settings import CLOSE_TIMEOUT
from .tab import Tab

router = APIRouter()


@router.websocket("/ws/{room_id}")
async def chat(websocket: WebSocket, room_id: str, name: Annotated[str, Query(min_length=1, max_length=20)]) -> None:
    await websocket.accept()
    room = rooms.setdefault(room_id, Room())
    tab = Tab(websocket, name, room.leave)
    async with asyncio.TaskGroup() as group:
        others = [group.create_task(work) for work in (tab.write(), tab.ping(), tab.abort_when_stuck())]
        try:
            room.join(tab)
            await receive_all(websocket, room, tab)
        finally:
            room.leave(tab)
            for task in others:
                task.cancel()
            # What's in the transport by now is little, and a client that reads takes it in that time.
            asyncio.get_running_loop().call_later(CLOSE_TIMEOUT, tab.abort)


async def receive_all(websocket: WebSocket, room: Room, tab: Tab) -> None:
    while (event := await websocket.receive())["type"] != "websocket.disconnect":
        tab.last_frame_at = asyncio.get_running_loop().time()
        if tab.is_closing.is_set():
            continue
        match parse(event):
            case Message(text=text):
                room.post_message(tab.name, text)
            case DirectMessage(to=to, text=text):
                if tabs := room.of(to):
                    room.send({"type": "direct", "from": tab.name, "text": text}, tabs)
                else:
                    room.send({"type": "error", "detail": f"{to} isn't here"}, [tab])
            case Pong():
                pass
            case None:
                room.send({"type": "error", "detail": EXPECTED_FORMAT}, [tab])
        await asyncio.sleep(0)
