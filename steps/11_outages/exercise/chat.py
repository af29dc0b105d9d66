"""Step 11: the WebSocket endpoint."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, WebSocket, status

from .broker import BrokerUnavailable
from .manager import ManagerDep
from .messages import EXPECTED_FORMAT, ClientMessage, DirectMessage, Message, Pong, error, key_of, parse
from .tab import Tab

router = APIRouter()
Name = Annotated[str, Query(min_length=1, max_length=20)]
After = Annotated[int | None, Query(ge=0)]


@router.websocket("/ws/{room_id}")
async def chat(websocket: WebSocket, room_id: str, name: Name, manager: ManagerDep, after: After = None) -> None:
    try:
        await manager.load_history(room_id)
    except BrokerUnavailable:
        # Not 403, because that's fatal for a client. After 503, it tries again.
        raise HTTPException(status.HTTP_503_SERVICE_UNAVAILABLE, "Try again later") from None
    if after is not None and after > manager.history(room_id).last_id:
        raise HTTPException(status.HTTP_403_FORBIDDEN, "No message has this id yet")
    await websocket.accept()
    tab = Tab(name, websocket)
    # In a group: if the writer fails, the endpoint ends too, so no tab stays open without a writer.
    async with asyncio.TaskGroup() as tasks:
        writer = tasks.create_task(tab.write())
        try:
            try:
                await manager.join(room_id, tab, after)
            except BrokerUnavailable:
                manager.close(room_id, [tab], status.WS_1013_TRY_AGAIN_LATER, "try again later")
            while (event := await websocket.receive())["type"] != "websocket.disconnect":
                tab.unanswered_pings = 0
                # Yield control to the writers: many messages may have arrived at the same time.
                await asyncio.sleep(0)
                if tab not in manager.tabs(room_id, name):
                    continue  # Removed: ignore messages that it sent before it received the close.
                message = parse(event)
                try:
                    if message:
                        await handle_message(manager, room_id, tab, message)
                    else:
                        manager.send(room_id, [tab], error(EXPECTED_FORMAT, key_of(event), retry=False))
                except BrokerUnavailable:
                    key = message.key if isinstance(message, Message) else None
                    manager.send(room_id, [tab], error("nothing can be sent now, try again later", key, retry=True))
        finally:
            manager.leave(room_id, tab)
            writer.cancel()
            tab.abort_later()


async def handle_message(manager: ManagerDep, room_id: str, tab: Tab, message: ClientMessage) -> None:
    match message:
        case Message(text=text, key=key):
            message_id = await manager.broker.publish(room_id, tab.name, text, key)
            if key:
                manager.send(room_id, [tab], {"type": "ack", "key": key, "id": message_id})
        case DirectMessage(to=to, text=text):
            if to in manager.names(room_id):
                direct = {"type": "direct", "from": tab.name, "to": to, "text": text}
                await manager.broker.publish_transient(room_id, direct)
            else:
                manager.send(room_id, [tab], {"type": "error", "detail": f"{to} is not in this room"})
        case Pong():
            pass
