"""Step 05: members over HTTP: list them, remove one, count the sessions."""

from fastapi import APIRouter, HTTPException

from .manager import ManagerDep

router = APIRouter()


@router.get("/rooms/{room_id}/members")
async def list_members(room_id: str, manager: ManagerDep) -> dict[str, list[str]]:
    if room_id not in manager.rooms:
        raise HTTPException(404)
    return {"names": sorted(manager.rooms[room_id])}


@router.delete("/rooms/{room_id}/members/{name:path}", status_code=204)
async def remove_member(room_id: str, name: str, manager: ManagerDep) -> None:
    tabs = manager.rooms.get(room_id, {}).get(name)
    if not tabs:
        raise HTTPException(404)
    manager.leave(room_id, name, *tabs)
    for tab in tabs:
        tab.queue.put_nowait((1008, "removed"))


@router.get("/debug/sessions")
async def count_sessions(manager: ManagerDep) -> dict[str, int]:
    sessions = sum(len(tabs) for room in manager.rooms.values() for tabs in room.values())
    return {"sessions": sessions, "rooms": len(manager.rooms)}
