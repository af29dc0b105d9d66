"""Step 03, lesson: rooms, the naive way. The notebook is about its bugs."""

from pathlib import Path

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()
rooms: dict[str, list[WebSocket]] = {}


@app.get("/rooms")
async def list_rooms() -> dict[str, int]:
    return {room_id: len(members) for room_id, members in rooms.items()}


@app.websocket("/ws/{room_id}")
async def chat(websocket: WebSocket, room_id: str) -> None:
    await websocket.accept()
    members = rooms.setdefault(room_id, [])
    members.append(websocket)
    try:
        while True:
            text = await websocket.receive_text()
            for member in members:
                await member.send_text(text)
    except WebSocketDisconnect:
        pass
    finally:
        members.remove(websocket)


app.frontend("/", directory=Path(__file__).parents[1] / "page")
