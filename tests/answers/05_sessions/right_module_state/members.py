"""Step 05: members over HTTP: list them, remove one, count the sessions."""

import asyncio

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from . import manager

router = APIRouter()
closing: set[asyncio.Task[None]] = set()


@router.get("/rooms/{room_id}/members")
async def list_members(room_id: str) -> JSONResponse:
    names = manager.names(room_id)
    return JSONResponse({"names": names}) if names else JSONResponse({"detail": "no such room"}, 404)


@router.delete("/rooms/{room_id}/members/{name:path}")
async def remove_member(room_id: str, name: str) -> Response:
    tabs = await manager.leave(room_id, name)
    for tab in tabs:
        # A task, because close() waits for a tab that doesn't read. The set keeps it from being collected.
        task = asyncio.create_task(manager.close_one(tab))
        closing.add(task)
        task.add_done_callback(closing.discard)
    return Response(status_code=204 if tabs else 404)


@router.get("/debug/sessions")
async def count_sessions() -> dict[str, int]:
    return {"sessions": sum(map(len, manager.rooms.values())), "rooms": len(manager.rooms)}
