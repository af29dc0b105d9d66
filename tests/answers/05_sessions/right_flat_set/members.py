"""Step 05: members over HTTP: list them, remove one, count the sessions."""

from fastapi import APIRouter, HTTPException, Response
from starlette.background import BackgroundTask

from .manager import ManagerDep, close, send

router = APIRouter()


@router.get("/rooms/{room_id}/members")
async def list_members(room_id: str, manager: ManagerDep) -> dict[str, list[str]]:
    if names := manager.names(room_id):
        return {"names": names}
    raise HTTPException(404)


@router.delete("/rooms/{room_id}/members/{name:path}")
async def remove_member(room_id: str, name: str, manager: ManagerDep) -> Response:
    sessions = manager.of(room_id, name)
    if not sessions:
        raise HTTPException(404)
    for session in sessions:
        manager.sessions.remove(session)
    await send(manager.of(room_id), {"type": "left", "name": name})
    # After the response: close() waits for a tab that doesn't read.
    return Response(status_code=204, background=BackgroundTask(close, sessions, 1008, "removed"))


@router.get("/debug/sessions")
async def count_sessions(manager: ManagerDep) -> dict[str, int]:
    return {"sessions": len(manager.sessions), "rooms": len({session.room_id for session in manager.sessions})}
