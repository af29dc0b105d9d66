"""A server that waits 0 to 150 ms before each delivery.

Granted: Your test requires that a message arrives sooner than promised, or before a message of another sender. Wait
  up to 1 s for each message (S7), and compare the order only within one sender's texts.
"""

import asyncio
import random
from contextlib import suppress

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

MAX_NAME_LENGTH = 20
MAX_DELAY = 0.15
"""Seconds."""
DISCONNECT_ERRORS = (WebSocketDisconnect, RuntimeError)

app = FastAPI()
rooms: dict[str, set[WebSocket]] = {}
deliveries: set[asyncio.Task[None]] = set()


@app.get("/rooms")
async def list_rooms() -> dict[str, int]:
    return {room_id: len(members) for room_id, members in rooms.items()}


async def deliver(member: WebSocket, text: str, after: asyncio.Task[None] | None) -> None:
    """Send a text after a delay, and after the sender's text before it."""
    await asyncio.sleep(random.uniform(0, MAX_DELAY))
    if after is not None:
        await asyncio.wait([after])
    with suppress(*DISCONNECT_ERRORS):
        await member.send_text(text)


@app.websocket("/ws/{room_id}")
async def chat(websocket: WebSocket, room_id: str) -> None:
    await websocket.accept()
    if len(room_id) > MAX_NAME_LENGTH:
        with suppress(*DISCONNECT_ERRORS):
            await websocket.close(4404)
        return
    rooms.setdefault(room_id, set()).add(websocket)
    latest: dict[WebSocket, asyncio.Task[None]] = {}
    try:
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if message.get("text") is None:
                break
            for member in rooms[room_id]:
                task = asyncio.create_task(deliver(member, message["text"], latest.get(member)))
                latest[member] = task
                deliveries.add(task)
                task.add_done_callback(deliveries.discard)
    finally:
        rooms[room_id].remove(websocket)
        if not rooms[room_id]:
            del rooms[room_id]
    with suppress(*DISCONNECT_ERRORS):
        await websocket.close(1003)
