"""Step 09, exercise: what can be asked and done about members over HTTP."""

import asyncio

from fastapi import APIRouter, HTTPException, status

from .broker import Away
from .manager import ConnectionManager, Manager
from .settings import LEASE_TTL

router = APIRouter()


async def names_in(manager: ConnectionManager, room_id: str) -> list[str]:
    """The names of the members at all processes."""
    try:
        presence = await manager.broker.members(room_id)
    except Away:
        raise HTTPException(status.HTTP_503_SERVICE_UNAVAILABLE, "Try again later") from None
    return sorted({name for names in presence.names.values() for name in names})


@router.get("/rooms/{room_id}/members")
async def list_members(room_id: str, manager: Manager) -> dict[str, list[str]]:
    names = await names_in(manager, room_id)
    if not names:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "There is no such room")
    return {"names": names}


# :path, because a name may hold a slash.
@router.delete("/rooms/{room_id}/members/{name:path}", status_code=status.HTTP_204_NO_CONTENT)
async def remove_member(room_id: str, name: str, manager: Manager) -> None:
    if name not in await names_in(manager, room_id):
        raise HTTPException(status.HTTP_404_NOT_FOUND, "There is no such member")
    try:
        await manager.broker.send(room_id, {"type": "remove", "name": name})
        # Its tabs may be anywhere. A process that does not answer loses its lease, and the name with it.
        async with asyncio.timeout(LEASE_TTL + 2):
            while name in await names_in(manager, room_id):
                await asyncio.sleep(0.01)
    except (Away, TimeoutError):
        raise HTTPException(status.HTTP_503_SERVICE_UNAVAILABLE, "Try again later") from None


@router.get("/debug/sessions")
async def count_sessions(manager: Manager) -> dict[str, int]:
    rooms = manager.rooms.values()
    return {"sessions": sum(len(tabs) for room in rooms for tabs in room.values()), "rooms": len(rooms)}
