"""Step 05: who is where, as a module."""

import asyncio
from typing import Any

from fastapi import WebSocket, WebSocketDisconnect

rooms: dict[str, list[tuple[str, WebSocket]]] = {}


class ConnectionManager:
    """The application has one in its state; this answer keeps what it knows in the module."""


async def tell(room_id: str, message: dict[str, Any], *, to: str | None = None, exclude: str | None = None) -> bool:
    tabs = [tab for name, tab in rooms.get(room_id, []) if to in (None, name) and name != exclude]
    async with asyncio.TaskGroup() as group:
        for tab in tabs:
            group.create_task(tell_one(tab, message))
    return bool(tabs)


async def tell_one(tab: WebSocket, message: dict[str, Any]) -> None:
    try:
        await tab.send_json(message)
    except (WebSocketDisconnect, RuntimeError):
        pass


async def close_one(tab: WebSocket) -> None:
    try:
        await tab.close(1008, "removed")
    except (WebSocketDisconnect, RuntimeError):
        pass


def names(room_id: str) -> list[str]:
    return sorted({name for name, _ in rooms.get(room_id, [])})


async def leave(room_id: str, name: str, tab: WebSocket | None = None) -> list[WebSocket]:
    """Take out one tab of a name, or all of them."""
    leaving = [other for who, other in rooms.get(room_id, []) if who == name and tab in (None, other)]
    if leaving:
        rooms[room_id] = [(who, other) for who, other in rooms[room_id] if other not in leaving]
        if not rooms[room_id]:
            del rooms[room_id]
        if name not in names(room_id):
            await tell(room_id, {"type": "left", "name": name})
    return leaving
