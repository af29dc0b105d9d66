"""One of the HTTP routes of step 05 was kept."""

from fastapi import APIRouter, HTTPException

from .auth import Needed
from .manager import ManagerDep

router = APIRouter()


@router.get("/rooms/{room_id}/members")
async def list_members(room_id: str, session: Needed, manager: ManagerDep) -> dict[str, list[str]]:
    if room_id not in session.user.permissions:
        raise HTTPException(403, "no right in this room")
    return {"names": manager.names(room_id)}
