"""Step 05, lesson: who is where. Every name in a room has one slot."""

from contextlib import suppress
from typing import Annotated, Any

from fastapi import Depends, WebSocket, WebSocketDisconnect
from fastapi.requests import HTTPConnection

# What a send to a member that is gone raises: the first time, and every later time.
GONE = (WebSocketDisconnect, RuntimeError)


class ConnectionManager:
    def __init__(self) -> None:
        self.rooms: dict[str, dict[str, WebSocket]] = {}

    async def join(self, room_id: str, name: str, websocket: WebSocket) -> None:
        self.rooms.setdefault(room_id, {})[name] = websocket
        await self.broadcast(room_id, {"type": "joined", "name": name})

    async def leave(self, room_id: str, name: str) -> None:
        del self.rooms[room_id][name]
        if not self.rooms[room_id]:
            del self.rooms[room_id]
        await self.broadcast(room_id, {"type": "left", "name": name})

    async def broadcast(self, room_id: str, message: dict[str, Any]) -> None:
        # A copy, because members come and go while a send is waiting.
        for websocket in list(self.rooms.get(room_id, {}).values()):
            # Here the sender's endpoint runs. That a member is gone is for that member's own endpoint.
            with suppress(*GONE):
                await websocket.send_json(message)


# HTTPConnection is what a Request and a WebSocket have in common, so both kinds of routes can ask for the manager.
async def get_manager(connection: HTTPConnection) -> ConnectionManager:
    manager: ConnectionManager = connection.state.manager
    return manager


Manager = Annotated[ConnectionManager, Depends(get_manager)]
