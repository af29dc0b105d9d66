"""What can be asked about the rooms."""

from fastapi import APIRouter

from .rooms import rooms

router = APIRouter()


@router.get("/rooms")
async def list_rooms() -> dict[str, int]:
    return {room_id: len(members) for room_id, members in rooms.items()}
