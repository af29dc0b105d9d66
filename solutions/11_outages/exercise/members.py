"""Step 11: members over HTTP: list them, remove one, count the sessions."""

from fastapi import APIRouter, HTTPException, status

from .broker import BrokerUnavailable
from .manager import ManagerDep

router = APIRouter()


@router.get("/rooms/{room_id}/members")
async def list_members(room_id: str, manager: ManagerDep) -> dict[str, list[str]]:
    try:
        presence = await manager.broker.get_presence(room_id)
    except BrokerUnavailable:
        raise HTTPException(status.HTTP_503_SERVICE_UNAVAILABLE, "Try again later") from None
    names = {name for names in presence.names_by_process.values() for name in names}
    if not names:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "There is no such room")
    return {"names": sorted(names)}


# With :path, because a name may contain a slash.
@router.delete("/rooms/{room_id}/members/{name:path}", status_code=status.HTTP_204_NO_CONTENT)
async def remove_member(room_id: str, name: str, manager: ManagerDep) -> None:
    try:
        was_removed = await manager.remove(room_id, name)
    except BrokerUnavailable:
        raise HTTPException(status.HTTP_503_SERVICE_UNAVAILABLE, "Try again later") from None
    if not was_removed:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "There is no such member")


@router.get("/debug/sessions")
async def count_sessions(manager: ManagerDep) -> dict[str, int]:
    rooms = manager.rooms.values()
    return {"sessions": sum(len(tabs) for room in rooms for tabs in room.values()), "rooms": len(rooms)}
