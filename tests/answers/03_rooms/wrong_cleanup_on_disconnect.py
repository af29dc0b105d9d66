"""The member is taken out when it disconnects, and not when a binary frame ends the session.

Refused by: test_gone
Says: put it into finally
"""

from contextlib import suppress

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()


class ConnectionManager:
    def __init__(self) -> None:
        self.rooms: dict[str, set[WebSocket]] = {}

    def join(self, room_id: str, websocket: WebSocket) -> None:
        self.rooms.setdefault(room_id, set()).add(websocket)

    def leave(self, room_id: str, websocket: WebSocket) -> None:
        members = self.rooms.get(room_id, set())
        members.discard(websocket)
        if not members:
            self.rooms.pop(room_id, None)

    async def broadcast(self, room_id: str, text: str) -> None:
        for member in tuple(self.rooms.get(room_id, ())):
            try:
                await member.send_text(text)
            except (WebSocketDisconnect, RuntimeError):
                continue


manager = ConnectionManager()


@app.get("/rooms")
async def list_rooms() -> dict[str, int]:
    return {room_id: len(members) for room_id, members in manager.rooms.items()}


async def close(websocket: WebSocket) -> None:
    with suppress(WebSocketDisconnect, RuntimeError):
        await websocket.close(1003)


@app.websocket("/ws/{room_id}")
async def chat(websocket: WebSocket, room_id: str) -> None:
    await websocket.accept()
    manager.join(room_id, websocket)
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            manager.leave(room_id, websocket)
            break
        if message.get("text") is None:
            await close(websocket)
            break
        await manager.broadcast(room_id, message["text"])
