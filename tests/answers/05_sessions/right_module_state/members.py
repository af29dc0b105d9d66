"""Step 05: what can be asked and done about members over HTTP."""

import contextlib

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from . import manager

router = APIRouter()


@router.get("/rooms/{room_id}/members")
async def list_members(room_id: str) -> JSONResponse:
    names = manager.names(room_id)
    return JSONResponse({"names": names}) if names else JSONResponse({"detail": "no such room"}, 404)


@router.delete("/rooms/{room_id}/members/{name}")
async def remove_member(room_id: str, name: str) -> Response:
    tabs = await manager.leave(room_id, name)
    for tab in tabs:
        with contextlib.suppress(Exception):
            await tab.close(1008, "removed")
    return Response(status_code=204 if tabs else 404)


@router.get("/debug/sessions")
async def count_sessions() -> dict[str, int]:
    return {"sessions": sum(map(len, manager.rooms.values())), "rooms": len(manager.rooms)}
