"""Step 09, solution: what can be asked and done about members over HTTP."""

from fastapi import APIRouter, HTTPException, status

from .broker import Away
from .manager import Manager

router = APIRouter()


@router.get("/rooms/{room_id}/members")
async def list_members(room_id: str, manager: Manager) -> dict[str, list[str]]:
    try:
        presence = await manager.broker.members(room_id)
    except Away:
        raise HTTPException(status.HTTP_503_SERVICE_UNAVAILABLE, "Try again later") from None
    names = {name for names in presence.names.values() for name in names}
    if not names:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "There is no such room")
    return {"names": sorted(names)}


# :path, because a name may hold a slash.
@router.delete("/rooms/{room_id}/members/{name:path}", status_code=status.HTTP_204_NO_CONTENT)
async def remove_member(room_id: str, name: str, manager: Manager) -> None:
    try:
        was_there = await manager.remove(room_id, name)
    except Away:
        raise HTTPException(status.HTTP_503_SERVICE_UNAVAILABLE, "Try again later") from None
    if not was_there:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "There is no such member")


@router.get("/debug/sessions")
async def count_sessions(manager: Manager) -> dict[str, int]:
    rooms = manager.rooms.values()
    return {"sessions": sum(len(tabs) for room in rooms for tabs in room.values()), "rooms": len(rooms)}
