"""What can be asked about the rooms."""

from fastapi import APIRouter

from .rooms import TheRooms

router = APIRouter()


@router.get("/api/lobby/rooms")
async def list_rooms(rooms: TheRooms) -> dict[str, int]:
    return rooms.counts()
