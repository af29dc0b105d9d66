"""A queue and a writer task for each member: nobody ever waits for another member."""

import asyncio
from contextlib import suppress

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()


class Member:
    def __init__(self, websocket: WebSocket) -> None:
        self.websocket = websocket
        self.outbox: asyncio.Queue[str] = asyncio.Queue()

    async def write(self) -> None:
        with suppress(WebSocketDisconnect, RuntimeError):
            while True:
                await self.websocket.send_text(await self.outbox.get())


rooms: dict[str, dict[int, Member]] = {}


@app.get("/rooms")
async def list_rooms() -> dict[str, int]:
    return {room_id: len(members) for room_id, members in rooms.items()}


@app.websocket("/ws/{room_id}")
async def chat(websocket: WebSocket, room_id: str) -> None:
    await websocket.accept()
    member = Member(websocket)
    room = rooms.setdefault(room_id, {})
    room[id(member)] = member
    writer = asyncio.create_task(member.write())
    code = None
    try:
        while code is None:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                break
            text = message.get("text")
            if text is None:
                code = 1003
                break
            for other in room.values():
                other.outbox.put_nowait(text)
    finally:
        del room[id(member)]
        if not room:
            del rooms[room_id]
        writer.cancel()
    with suppress(asyncio.CancelledError):
        await writer
    if code is not None:
        with suppress(WebSocketDisconnect, RuntimeError):
            await websocket.close(code)
