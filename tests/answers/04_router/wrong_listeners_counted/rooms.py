"""The rooms, and who listens to their announcements."""

import json
from contextlib import suppress
from typing import Literal

from fastapi import WebSocket, WebSocketDisconnect

rooms: dict[str, set[WebSocket]] = {}
ANNOUNCEMENTS = "announcements"

# What a send to a member that is gone raises: the first time, and every later time.
GONE = (WebSocketDisconnect, RuntimeError)


def enter(room_id: str, member: WebSocket) -> None:
    rooms.setdefault(room_id, set()).add(member)


def exit_from(room_id: str, member: WebSocket) -> None:
    rooms[room_id].remove(member)
    if not rooms[room_id]:
        del rooms[room_id]


async def join(room_id: str, name: str, member: WebSocket) -> None:
    enter(room_id, member)
    await announce("joined", room_id, name)


async def leave(room_id: str, name: str, member: WebSocket) -> None:
    exit_from(room_id, member)
    await announce("left", room_id, name)


async def announce(event: Literal["joined", "left"], room_id: str, name: str) -> None:
    await broadcast(ANNOUNCEMENTS, json.dumps({"type": event, "room": room_id, "name": name}))


async def broadcast(room_id: str, text: str) -> None:
    # A copy, because members come and go while a send is waiting.
    for member in list(rooms.get(room_id, ())):
        # Here the sender's endpoint runs. That a member is gone is for that member's own endpoint.
        with suppress(*GONE):
            await member.send_text(text)
