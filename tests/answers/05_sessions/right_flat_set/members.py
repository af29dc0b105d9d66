"""Step 05: what can be asked and done about members over HTTP."""

from contextlib import suppress

from fastapi import APIRouter, HTTPException, Response

from .manager import Manager

router = APIRouter()


@router.get("/rooms/{room_id}/members")
async def list_members(room_id: str, manager: Manager) -> dict[str, list[str]]:
    if names := manager.names(room_id):
        return {"names": names}
    raise HTTPException(404)


@router.delete("/rooms/{room_id}/members/{name}")
async def remove_member(room_id: str, name: str, manager: Manager) -> Response:
    sessions = manager.of(room_id, name)
    if not sessions:
        raise HTTPException(404)
    for session in sessions:
        manager.sessions.remove(session)
    for other in manager.of(room_id):
        with suppress(Exception):
            await other.websocket.send_json({"type": "left", "name": name})
    for session in sessions:
        with suppress(Exception):
            await session.websocket.close(1008, "removed")
    return Response(status_code=204)


@router.get("/debug/sessions")
async def count_sessions(manager: Manager) -> dict[str, int]:
    return {"sessions": len(manager.sessions), "rooms": len({session.room_id for session in manager.sessions})}
