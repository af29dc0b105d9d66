"""Step 09, lesson: what can be asked and done about members over HTTP."""

from fastapi import APIRouter, HTTPException, status

from .manager import Manager

router = APIRouter()


@router.get("/rooms/{room_id}/members")
async def list_members(room_id: str, manager: Manager) -> dict[str, list[str]]:
    names = manager.names(room_id)
    if not names:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "There is no such room")
    return {"names": names}


# :path, because a name may hold a slash.
@router.delete("/rooms/{room_id}/members/{name:path}", status_code=status.HTTP_204_NO_CONTENT)
async def remove_member(room_id: str, name: str, manager: Manager) -> None:
    tabs = manager.tabs(room_id, name)
    if not tabs:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "There is no such member")
    manager.close(room_id, tabs, status.WS_1008_POLICY_VIOLATION, "removed")


@router.get("/debug/sessions")
async def count_sessions(manager: Manager) -> dict[str, int]:
    rooms = manager.rooms.values()
    return {"sessions": sum(len(tabs) for room in rooms for tabs in room.values()), "rooms": len(rooms)}
