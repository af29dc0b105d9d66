"""A `ConnectionManager`, a class that keeps the rooms, with `receive_text()` and its `KeyError`."""

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()


class ConnectionManager:
    def __init__(self) -> None:
        self.rooms: dict[str, list[WebSocket]] = {}

    async def connect(self, room_id: str, websocket: WebSocket) -> None:
        await websocket.accept()
        self.rooms.setdefault(room_id, []).append(websocket)

    def disconnect(self, room_id: str, websocket: WebSocket) -> None:
        remaining = [member for member in self.rooms.get(room_id, []) if member is not websocket]
        if remaining:
            self.rooms[room_id] = remaining
        else:
            self.rooms.pop(room_id, None)

    async def broadcast(self, room_id: str, text: str) -> None:
        # disconnect() makes a new list, so that this one never changes but at its end.
        for member in self.rooms.get(room_id, []):
            try:
                await member.send_text(text)
            except (WebSocketDisconnect, RuntimeError):
                self.disconnect(room_id, member)


manager = ConnectionManager()


@app.get("/rooms")
async def list_rooms() -> dict[str, int]:
    return {room_id: len(members) for room_id, members in manager.rooms.items()}


@app.websocket("/ws/{room_id}")
async def chat(websocket: WebSocket, room_id: str) -> None:
    await manager.connect(room_id, websocket)
    try:
        while True:
            await manager.broadcast(room_id, await websocket.receive_text())
    except (WebSocketDisconnect, RuntimeError, KeyError) as end:
        manager.disconnect(room_id, websocket)
        if isinstance(end, KeyError):
            try:
                await websocket.close(1003)
            except (WebSocketDisconnect, RuntimeError):
                pass
    finally:
        manager.disconnect(room_id, websocket)
