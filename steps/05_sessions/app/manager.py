"""Step 05, lesson: the connection manager. A room stores one connection for each name."""

from contextlib import suppress
from typing import Annotated, Any

from fastapi import Depends, WebSocket, WebSocketDisconnect
from fastapi.requests import HTTPConnection

# The first send to a disconnected client raises WebSocketDisconnect, and later ones RuntimeError.
DISCONNECT_ERRORS = (WebSocketDisconnect, RuntimeError)


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
        # Copy: members can join and leave while a send is suspended.
        for websocket in list(self.rooms.get(room_id, {}).values()):
            # Ignore disconnects: this runs in the sender's endpoint; the member's own endpoint cleans up.
            with suppress(*DISCONNECT_ERRORS):
                await websocket.send_json(message)


# HTTPConnection is the base class of Request and WebSocket, so both kinds of routes can use this dependency.
async def get_manager(connection: HTTPConnection) -> ConnectionManager:
    manager: ConnectionManager = connection.state.manager
    return manager


ManagerDep = Annotated[ConnectionManager, Depends(get_manager)]
