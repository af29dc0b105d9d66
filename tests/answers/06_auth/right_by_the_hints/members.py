"""What can be asked and done about members over HTTP."""

from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Depends, HTTPException, status

from .auth import Holder, get_grant
from .manager import Manager, close
from .tokens import Grant

router = APIRouter(dependencies=[Depends(get_grant)])


async def get_room_grant(room_id: str, grant: Holder) -> Grant:
    if room_id not in grant.user.rights:
        raise HTTPException(status.HTTP_403_FORBIDDEN)
    return grant


RoomGrant = Annotated[Grant, Depends(get_room_grant)]


@router.get("/rooms/{room_id}/members")
async def list_members(room_id: str, grant: RoomGrant, manager: Manager) -> dict[str, list[str]]:
    names = manager.names(room_id)
    if not names:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "There is no such room")
    return {"names": names}


# :path, because a name may hold a slash.
@router.delete("/rooms/{room_id}/members/{name:path}", status_code=status.HTTP_204_NO_CONTENT)
async def remove_member(
    room_id: str, name: str, grant: RoomGrant, manager: Manager, background: BackgroundTasks
) -> None:
    if name != grant.user.name:
        raise HTTPException(status.HTTP_403_FORBIDDEN)
    if not manager.tabs(room_id, name):
        raise HTTPException(status.HTTP_404_NOT_FOUND, "There is no such member")
    tabs = await manager.remove(room_id, name)
    # After the answer, because a tab that does not read cannot be closed until it does.
    background.add_task(close, tabs, status.WS_1008_POLICY_VIOLATION, "removed")


@router.get("/debug/sessions")
async def count_sessions(manager: Manager) -> dict[str, int]:
    rooms = manager.rooms.values()
    return {"sessions": sum(len(tabs) for room in rooms for tabs in room.values()), "rooms": len(rooms)}
