"""Members over HTTP."""

from fastapi import APIRouter, HTTPException

from .rooms import Room, rooms

router = APIRouter()


@router.get("/rooms/{room_id}/members")
async def names(room_id: str) -> dict[str, list[str]]:
    if found := rooms.get(room_id, Room()).names():
        return {"names": found}
    raise HTTPException(404)


@router.delete("/rooms/{room_id}/members/{name:path}", status_code=204)
async def remove(room_id: str, name: str) -> None:
    tabs = rooms.get(room_id, Room()).of(name)
    if not tabs:
        raise HTTPException(404)
    for tab in tabs:
        tab.close(1008, "removed")


@router.get("/debug/sessions")
async def sessions() -> dict[str, int]:
    counts = [len(room.tabs) for room in rooms.values() if room.tabs]
    return {"sessions": sum(counts), "rooms": len(counts)}
