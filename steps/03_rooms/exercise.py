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
    # TODO 2: answer with the number of members of each room, {"lobby": 2}, and leave out empty rooms.
    return {}


@app.get("/rooms/{room_id}")
async def count_members(room_id: str) -> int:
    # Nobody asks for this route, so keep it or drop it. But asking about a room must not make one (TODO 2).
    return len(rooms[room_id])


@app.websocket("/ws/{room_id}")
async def chat(websocket: WebSocket, room_id: str) -> None:
    await websocket.accept()
    rooms[room_id].append(websocket)
    try:
        while True:
            text = await websocket.receive_text()
            # TODO 1: pass the text on to every member of the room, the sender too.
            # TODO 3: a member may be gone. That must cost nobody a message, and the sender not its connection.
            # TODO 4: a binary frame closes its sender's connection, and no other, with code 1003.
            # TODO 5: members leave while a text is being passed on. Nobody else may miss it.
            await websocket.send_text(text)
    except WebSocketDisconnect:
        # TODO 6: take the member out of its room, however the connection ended.
        pass
