"""Step 03, exercise: rooms that survive their members.

In the folder of the course:

Run it:    uvicorn exercise:app --app-dir steps/03_rooms --reload
Judge it:  pytest --exercise 3
"""

from collections import defaultdict

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()
rooms: dict[str, list[WebSocket]] = defaultdict(list)


@app.get("/rooms")
async def list_rooms() -> dict[str, int]:
    # TODO 2: return the number of members of each room, {"lobby": 2}, without empty rooms.
    return {}


@app.get("/rooms/{room_id}")
async def count_members(room_id: str) -> int:
    # Keep this route or delete it, but a request must not create a room (TODO 2).
    return len(rooms[room_id])


@app.websocket("/ws/{room_id}")
async def chat(websocket: WebSocket, room_id: str) -> None:
    await websocket.accept()
    rooms[room_id].append(websocket)
    try:
        while True:
            text = await websocket.receive_text()
            # TODO 1: send the text to all members of the room, including the sender.
            # TODO 3: a member may be disconnected. Even then, the others get the text, and the sender stays connected.
            # TODO 4: a binary message closes its sender's connection with code 1003, and no other connection.
            # TODO 5: if members leave during a broadcast, all others still get the text.
            await websocket.send_text(text)
    except WebSocketDisconnect:
        # TODO 6: remove the member from its room, however the connection ended.
        pass
