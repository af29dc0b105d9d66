"""Step 07, solution: members over HTTP: list them, remove one, count the sessions."""

from fastapi import APIRouter, HTTPException, status

from .manager import ManagerDep

router = APIRouter()


@router.get("/rooms/{room_id}/members")
async def list_members(room_id: str, manager: ManagerDep) -> dict[str, list[str]]:
    names = manager.names(room_id)
    if not names:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "There is no such room")
    return {"names": names}


# With :path, because a name may contain a slash.
@router.delete("/rooms/{room_id}/members/{name:path}", status_code=status.HTTP_204_NO_CONTENT)
async def remove_member(room_id: str, name: str, manager: ManagerDep) -> None:
    tabs = manager.tabs(room_id, name)
    if not tabs:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "There is no such member")
    manager.close(room_id, tabs, status.WS_1008_POLICY_VIOLATION, "removed")


@router.get("/debug/sessions")
async def count_sessions(manager: ManagerDep) -> dict[str, int]:
    rooms = manager.rooms.values()
    return {"sessions": sum(len(tabs) for room in rooms for tabs in room.values()), "rooms": len(rooms)}
