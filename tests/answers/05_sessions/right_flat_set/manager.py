"""Step 05: who is where. Every open socket is one session; rooms and names follow from the sessions."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, WebSocket, WebSocketDisconnect
from fastapi.requests import HTTPConnection


@dataclass(eq=False)
class Session:
    room_id: str
    name: str
    websocket: WebSocket


class ConnectionManager:
    def __init__(self) -> None:
        self.sessions: list[Session] = []

    def of(self, room_id: str, name: str | None = None) -> list[Session]:
        return [s for s in self.sessions if s.room_id == room_id and name in (None, s.name)]

    def names(self, room_id: str) -> list[str]:
        return sorted({session.name for session in self.of(room_id)})

    async def join(self, session: Session) -> None:
        before = self.of(session.room_id)
        self.sessions.append(session)
        await send([session], {"type": "members", "names": self.names(session.room_id)})
        if session.name not in {other.name for other in before}:
            await send(before, {"type": "joined", "name": session.name})

    async def leave(self, *leaving: Session) -> None:
        for session in leaving:
            if session in self.sessions:
                self.sessions.remove(session)
                if not self.of(session.room_id, session.name):
                    await send(self.of(session.room_id), {"type": "left", "name": session.name})


async def send(sessions: Iterable[Session], message: dict[str, Any]) -> None:
    for session in sessions:
        with suppress(WebSocketDisconnect, RuntimeError):
            await session.websocket.send_json(message)


async def close(sessions: Iterable[Session], code: int, reason: str) -> None:
    closing = (session.websocket.close(code, reason) for session in sessions)
    await asyncio.gather(*closing, return_exceptions=True)


async def get_manager(connection: HTTPConnection) -> ConnectionManager:
    manager: ConnectionManager = connection.state.manager
    return manager


ManagerDep = Annotated[ConnectionManager, Depends(get_manager)]
