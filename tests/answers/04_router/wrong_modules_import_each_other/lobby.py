"""What can be asked about the rooms, and who listens to their announcements."""

from contextlib import suppress

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from .chat import rooms

router = APIRouter(prefix="/api/lobby")
listeners: set[WebSocket] = set()
GONE = (WebSocketDisconnect, RuntimeError)


async def announce(event: str, room_id: str, name: str) -> None:
    for listener in list(listeners):
        with suppress(*GONE):
            await listener.send_json({"type": event, "room": room_id, "name": name})


@router.get("/rooms")
async def list_rooms() -> dict[str, int]:
    return {room_id: len(members) for room_id, members in rooms.items()}
