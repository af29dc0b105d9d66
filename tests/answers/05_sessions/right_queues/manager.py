"""Step 05: who is where. What is to be told is put into queues, so that nothing waits while the rooms change."""

import asyncio
from contextlib import suppress
from typing import Annotated, Any

from fastapi import Depends, WebSocket, WebSocketDisconnect
from fastapi.requests import HTTPConnection


class Tab:
    def __init__(self, websocket: WebSocket) -> None:
        self.websocket = websocket
        self.queue: asyncio.Queue[dict[str, Any] | tuple[int, str]] = asyncio.Queue()

    async def write(self) -> None:
        with suppress(WebSocketDisconnect, RuntimeError):
            while isinstance(message := await self.queue.get(), dict):
                await self.websocket.send_json(message)
            await self.websocket.close(*message)


class ConnectionManager:
    def __init__(self) -> None:
        self.rooms: dict[str, dict[str, list[Tab]]] = {}

    def tell(self, room_id: str, message: dict[str, Any], *, exclude: str | None = None) -> None:
        for name, tabs in self.rooms.get(room_id, {}).items():
            for tab in tabs if name != exclude else []:
                tab.queue.put_nowait(message)

    def join(self, room_id: str, name: str, tab: Tab) -> None:
        room = self.rooms.setdefault(room_id, {})
        if name not in room:
            self.tell(room_id, {"type": "joined", "name": name})
        room.setdefault(name, []).append(tab)
        tab.queue.put_nowait({"type": "members", "names": sorted(room)})

    def leave(self, room_id: str, name: str, *leaving: Tab) -> None:
        room = self.rooms.get(room_id, {})
        rest = [tab for tab in room.get(name, []) if tab not in leaving]
        if rest:
            room[name] = rest
        elif room.pop(name, None):
            self.tell(room_id, {"type": "left", "name": name})
        if not room:
            self.rooms.pop(room_id, None)


async def get_manager(connection: HTTPConnection) -> ConnectionManager:
    manager: ConnectionManager = connection.state.manager
    return manager


ManagerDep = Annotated[ConnectionManager, Depends(get_manager)]
