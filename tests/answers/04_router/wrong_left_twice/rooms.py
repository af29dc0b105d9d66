"""The rooms, and who listens to their announcements."""

from contextlib import suppress
from typing import Literal

from fastapi import WebSocket, WebSocketDisconnect

rooms: dict[str, set[WebSocket]] = {}
names: dict[WebSocket, str] = {}
listeners: set[WebSocket] = set()

# What a send to a member that is gone raises: the first time, and every later time.
GONE = (WebSocketDisconnect, RuntimeError)


async def join(room_id: str, name: str, member: WebSocket) -> None:
    rooms.setdefault(room_id, set()).add(member)
    names[member] = name
    await announce("joined", room_id, name)


async def leave(room_id: str, name: str, member: WebSocket) -> None:
    members = rooms.get(room_id, set())
    members.discard(member)
    if not members:
        rooms.pop(room_id, None)
    await announce("left", room_id, name)


async def announce(event: Literal["joined", "left"], room_id: str, name: str) -> None:
    for listener in list(listeners):
        with suppress(*GONE):
            await listener.send_json({"type": event, "room": room_id, "name": name})


async def broadcast(room_id: str, text: str) -> None:
    # A copy, because members come and go while a send is waiting.
    for member in list(rooms[room_id]):
        # Here the sender's endpoint runs. That a member is gone is for that member's own endpoint.
        try:
            await member.send_text(text)
        except GONE:
            await leave(room_id, names[member], member)
