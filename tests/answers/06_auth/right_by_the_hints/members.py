"""What can be asked and done about members over HTTP."""

from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Depends, HTTPException, status

from .auth import CurrentPrincipal, get_current_principal
from .manager import ManagerDep, close
from .tokens import Principal

router = APIRouter(dependencies=[Depends(get_current_principal)])


async def get_room_principal(room_id: str, principal: CurrentPrincipal) -> Principal:
    if room_id not in principal.user.permissions:
        raise HTTPException(status.HTTP_403_FORBIDDEN)
    return principal


RoomGrant = Annotated[Principal, Depends(get_room_principal)]


@router.get("/rooms/{room_id}/members")
async def list_members(room_id: str, principal: RoomGrant, manager: ManagerDep) -> dict[str, list[str]]:
    names = manager.names(room_id)
    if not names:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "There is no such room")
    return {"names": names}


# With :path, because a name may contain a slash.
@router.delete("/rooms/{room_id}/members/{name:path}", status_code=status.HTTP_204_NO_CONTENT)
async def remove_member(
    room_id: str, name: str, principal: RoomGrant, manager: ManagerDep, background: BackgroundTasks
) -> None:
    if name != principal.user.name:
        raise HTTPException(status.HTTP_403_FORBIDDEN)
    if not manager.tabs(room_id, name):
        raise HTTPException(status.HTTP_404_NOT_FOUND, "There is no such member")
    tabs = await manager.remove(room_id, name)
    # After the response, because close() waits for a tab that reads nothing.
    background.add_task(close, tabs, status.WS_1008_POLICY_VIOLATION, "removed")


@router.get("/debug/sessions")
async def count_sessions(manager: ManagerDep) -> dict[str, int]:
    rooms = manager.rooms.values()
    return {"sessions": sum(len(tabs) for room in rooms for tabs in room.values()), "rooms": len(rooms)}
