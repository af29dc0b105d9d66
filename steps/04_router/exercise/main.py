"""Step 04, exercise: one file that has grown too long. Split it into modules.

In the folder of the course:

Run it:    uvicorn exercise.main:app --app-dir steps/04_router --reload
Judge it:  pytest --exercise 4
"""

from contextlib import suppress

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

# TODO 1: split this file. Move the WebSocket endpoint to chat.py and the counts to lobby.py, each with its own
#         `router`. Here, include both routers, and keep only GET /.
# TODO 2: the rooms are at /api/chat/ws/{room_id}, and behave as before.
# TODO 3: the counts are at GET /api/lobby/rooms. Both modules use the same rooms.
# TODO 4: every WebSocket endpoint under /api/chat requires ?name=N, 1 to 20 characters. Declare it in one dependency
#         on the router, so that endpoints added later require it too. Without it, reject the handshake with 403.
# TODO 5: /api/chat/ws/announcements isn't a room. Its clients, the listeners, get an announcement for each member of
#         each room: {"type": "joined", "room": R, "name": N}, and "left".
# TODO 6: a listener that disconnects or pauses changes nothing for the others. If a listener sends anything, close its
#         connection with 1008.

app = FastAPI()
rooms: dict[str, set[WebSocket]] = {}

# The first send to a disconnected client raises WebSocketDisconnect, and later ones RuntimeError.
DISCONNECT_ERRORS = (WebSocketDisconnect, RuntimeError)


@app.get("/")
async def root() -> dict[str, str]:
    return {"message": "Hello World"}


@app.get("/rooms")
async def list_rooms() -> dict[str, int]:
    return {room_id: len(members) for room_id, members in rooms.items()}


def join(room_id: str, member: WebSocket) -> None:
    rooms.setdefault(room_id, set()).add(member)


def leave(room_id: str, member: WebSocket) -> None:
    rooms[room_id].remove(member)
    if not rooms[room_id]:
        del rooms[room_id]


async def broadcast(room_id: str, text: str) -> None:
    # Copy: members can join and leave while a send is suspended.
    for member in list(rooms[room_id]):
        # Ignore disconnects: this runs in the sender's endpoint; the member's own endpoint cleans up.
        with suppress(*DISCONNECT_ERRORS):
            await member.send_text(text)


@app.websocket("/ws/{room_id}")
async def chat(websocket: WebSocket, room_id: str) -> None:
    await websocket.accept()
    join(room_id, websocket)
    try:
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if message.get("text") is None:
                break
            await broadcast(room_id, message["text"])
    finally:
        leave(room_id, websocket)
    # It was a binary message. The member has left the room, so no broadcast sends to a closing connection.
    with suppress(*DISCONNECT_ERRORS):
        await websocket.close(1003)
