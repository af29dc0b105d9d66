"""One of the HTTP routes of step 05 was kept."""

from fastapi import APIRouter

from .auth import Needed
from .manager import Manager

router = APIRouter()


@router.get("/rooms/{room_id}/members")
async def list_members(room_id: str, session: Needed, manager: Manager) -> dict[str, list[str]]:
    return {"names": manager.names(room_id) if room_id in session.user.rights else []}
