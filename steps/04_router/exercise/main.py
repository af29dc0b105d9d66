"""Step 04, exercise: one file that has grown too long. Split it into modules.

In the folder of the course:

Run it:    uvicorn exercise.main:app --app-dir steps/04_router --reload
Judge it:  pytest --exercise 4
"""

from contextlib import suppress

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

# TODO 1: split this file. chat.py gets the socket and lobby.py the counts, each with a `router` of its own;
#         here, include both and keep GET / alone.
# TODO 2: the rooms are at /api/chat/ws/{room_id}, and behave as before.
# TODO 3: the counts are at GET /api/lobby/rooms. Both modules use the same rooms.
# TODO 4: every socket under /api/chat needs ?name=N, 1 to 20 characters. Ask for it in one dependency on the
#         router, so that a socket added later needs it too. Without it, the handshake is refused with 403.
# TODO 5: /api/chat/ws/announcements is no room. Who listens there hears of every member of every room:
#         {"type": "joined", "room": R, "name": N}, and "left". A listener that sends anything is closed with 1008.

app = FastAPI()
rooms: dict[str, set[WebSocket]] = {}

# What a send to a member that is gone raises: the first time, and every later time.
GONE = (WebSocketDisconnect, RuntimeError)


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
    # A copy, because members come and go while a send is waiting.
    for member in list(rooms[room_id]):
        # Here the sender's endpoint runs. That a member is gone is for that member's own endpoint.
        with suppress(*GONE):
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
    # A binary frame came. The member is out of the room by now, so nobody sends to a closing socket.
    with suppress(*GONE):
        await websocket.close(1003)
