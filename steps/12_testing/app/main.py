"""Step 12, lesson: the rooms of step 03, as the server under test. It is right."""

from contextlib import suppress
from pathlib import Path

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

MAX_NAME_LENGTH = 20
"""The longest name of a room, in characters."""

app = FastAPI()
rooms: dict[str, set[WebSocket]] = {}

# The first send to a disconnected client raises WebSocketDisconnect, and later ones RuntimeError.
DISCONNECT_ERRORS = (WebSocketDisconnect, RuntimeError)


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


async def close(websocket: WebSocket, code: int) -> None:
    with suppress(*DISCONNECT_ERRORS):
        await websocket.close(code)


@app.websocket("/ws/{room_id}")
async def chat(websocket: WebSocket, room_id: str) -> None:
    # Accept first: a close before that rejects the handshake with 403, and its code never arrives.
    await websocket.accept()
    if len(room_id) > MAX_NAME_LENGTH:
        await close(websocket, 4404)
        return
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
    await close(websocket, 1003)


# Without check_dir=False, a copy of this file couldn't run in another folder.
app.frontend("/", directory=Path(__file__).parents[2] / "page", check_dir=False)
