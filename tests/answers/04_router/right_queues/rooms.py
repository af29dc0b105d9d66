"""The rooms, and who listens to their announcements."""

import asyncio
from contextlib import suppress
from typing import Literal

from fastapi import WebSocket, WebSocketDisconnect

rooms: dict[str, set[WebSocket]] = {}
listeners: set[asyncio.Queue[dict[str, str]]] = set()

# The first send to a disconnected client raises WebSocketDisconnect, and later ones RuntimeError.
DISCONNECT_ERRORS = (WebSocketDisconnect, RuntimeError)


def join(room_id: str, name: str, member: WebSocket) -> None:
    rooms.setdefault(room_id, set()).add(member)
    announce("joined", room_id, name)


def leave(room_id: str, name: str, member: WebSocket) -> None:
    rooms[room_id].remove(member)
    if not rooms[room_id]:
        del rooms[room_id]
    announce("left", room_id, name)


def announce(event: Literal["joined", "left"], room_id: str, name: str) -> None:
    for queue in listeners:
        queue.put_nowait({"type": event, "room": room_id, "name": name})


async def broadcast(room_id: str, text: str) -> None:
    # Copy: members can join and leave while a send is suspended.
    for member in list(rooms[room_id]):
        # Ignore disconnects: this runs in the sender's endpoint; the member's own endpoint cleans up.
        with suppress(*DISCONNECT_ERRORS):
            await member.send_text(text)
