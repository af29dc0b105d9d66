"""Step 04, lesson: the rooms of step 03, as a module with a router of its own."""

from contextlib import suppress

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

# Every path below begins with the prefix, and no route repeats it.
router = APIRouter(prefix="/chat")
rooms: dict[str, set[WebSocket]] = {}

# What a send to a member that is gone raises: the first time, and every later time.
GONE = (WebSocketDisconnect, RuntimeError)


@router.get("/rooms")
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


@router.websocket("/ws/{room_id}")
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
