"""Step 06, exercise: the connection manager. A name in a room has one or more tabs."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Annotated, Any

from fastapi import Depends, WebSocket, WebSocketDisconnect
from fastapi.requests import HTTPConnection

# TODO 7: when a user logs out, close all connections of that user with 4401.

# The first send to a disconnected client raises WebSocketDisconnect, and later ones RuntimeError.
DISCONNECT_ERRORS = (WebSocketDisconnect, RuntimeError)


class ConnectionManager:
    def __init__(self) -> None:
        self.rooms: dict[str, dict[str, set[WebSocket]]] = {}

    def names(self, room_id: str) -> list[str]:
        return sorted(self.rooms.get(room_id, {}))

    def tabs(self, room_id: str, name: str) -> set[WebSocket]:
        return self.rooms.get(room_id, {}).get(name, set())

    def all_tabs(self, room_id: str, exclude: str | None = None) -> list[WebSocket]:
        room = self.rooms.get(room_id, {})
        # Copy: members can join and leave while a send is suspended.
        return [tab for name, tabs in room.items() if name != exclude for tab in tabs]

    async def join(self, room_id: str, name: str, tab: WebSocket) -> None:
        room = self.rooms.setdefault(room_id, {})
        recipients = [] if name in room else self.all_tabs(room_id, exclude=name)
        room.setdefault(name, set()).add(tab)
        # No await before this: earlier members are in the snapshot, and later ones cause a notice.
        await send([tab], {"type": "members", "names": self.names(room_id)})
        await send(recipients, {"type": "joined", "name": name})

    async def leave(self, room_id: str, name: str, tab: WebSocket) -> None:
        tabs = self.tabs(room_id, name)
        # A removed tab isn't in the room any longer, and its name may have rejoined with another tab.
        if tab in tabs:
            tabs.remove(tab)
            if not tabs:
                await self.remove(room_id, name)

    async def remove(self, room_id: str, name: str) -> set[WebSocket]:
        tabs = self.rooms[room_id].pop(name)
        if not self.rooms[room_id]:
            del self.rooms[room_id]
        await send(self.all_tabs(room_id), {"type": "left", "name": name})
        return tabs


async def send(tabs: Iterable[WebSocket], message: dict[str, Any]) -> None:
    for tab in tabs:
        # Ignore disconnects: this runs in another tab's endpoint; the tab's own endpoint cleans up.
        with suppress(*DISCONNECT_ERRORS):
            await tab.send_json(message)


async def close(tabs: Iterable[WebSocket], code: int, reason: str) -> None:
    async def close_one(tab: WebSocket) -> None:
        with suppress(*DISCONNECT_ERRORS):
            await tab.close(code, reason)

    # Concurrently, because close() waits for a tab that reads nothing.
    await asyncio.gather(*map(close_one, tabs))


# HTTPConnection is the base class of Request and WebSocket, so both kinds of routes can use this dependency.
async def get_manager(connection: HTTPConnection) -> ConnectionManager:
    manager: ConnectionManager = connection.state.manager
    return manager


ManagerDep = Annotated[ConnectionManager, Depends(get_manager)]
