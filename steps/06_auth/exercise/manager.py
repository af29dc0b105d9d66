"""Step 06, exercise: who is where. A name in a room has as many sockets as it has tabs."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Annotated, Any

from fastapi import Depends, WebSocket, WebSocketDisconnect
from fastapi.requests import HTTPConnection

# TODO 6: a socket is closed with 4401 not before its token expires, and within 2 seconds after, silent or talking. By
#         then its tab is off the list, even if its client reads nothing.
# TODO 7: when a user logs out, all sockets of that user are closed with 4401.

# What a send to a member that is gone raises: the first time, and every later time.
GONE = (WebSocketDisconnect, RuntimeError)


class ConnectionManager:
    def __init__(self) -> None:
        self.rooms: dict[str, dict[str, set[WebSocket]]] = {}

    def names(self, room_id: str) -> list[str]:
        return sorted(self.rooms.get(room_id, {}))

    def tabs(self, room_id: str, name: str) -> set[WebSocket]:
        return self.rooms.get(room_id, {}).get(name, set())

    def everybody(self, room_id: str, but: str | None = None) -> list[WebSocket]:
        room = self.rooms.get(room_id, {})
        # A copy, because members come and go while a send is waiting.
        return [tab for name, tabs in room.items() if name != but for tab in tabs]

    async def join(self, room_id: str, name: str, tab: WebSocket) -> None:
        room = self.rooms.setdefault(room_id, {})
        to_tell = [] if name in room else self.everybody(room_id, but=name)
        room.setdefault(name, set()).add(tab)
        # There was no await so far: whoever comes later is told of by a notice, whoever was earlier is on the list.
        await send([tab], {"type": "members", "names": self.names(room_id)})
        await send(to_tell, {"type": "joined", "name": name})

    async def leave(self, room_id: str, name: str, tab: WebSocket) -> None:
        tabs = self.tabs(room_id, name)
        # A tab that was removed is not here any more, and the name may have come back with another one.
        if tab in tabs:
            tabs.remove(tab)
            if not tabs:
                await self.remove(room_id, name)

    async def remove(self, room_id: str, name: str) -> set[WebSocket]:
        tabs = self.rooms[room_id].pop(name)
        if not self.rooms[room_id]:
            del self.rooms[room_id]
        await send(self.everybody(room_id), {"type": "left", "name": name})
        return tabs


async def send(tabs: Iterable[WebSocket], message: dict[str, Any]) -> None:
    for tab in tabs:
        # That a tab is gone is for its own endpoint. Here somebody else's runs.
        with suppress(*GONE):
            await tab.send_json(message)


async def close(tabs: Iterable[WebSocket], code: int, reason: str) -> None:
    async def close_one(tab: WebSocket) -> None:
        with suppress(*GONE):
            await tab.close(code, reason)

    # Side by side, because a tab that does not read cannot be closed until it does.
    await asyncio.gather(*map(close_one, tabs))


# HTTPConnection is what a Request and a WebSocket have in common, so both kinds of routes can ask for the manager.
async def get_manager(connection: HTTPConnection) -> ConnectionManager:
    manager: ConnectionManager = connection.state.manager
    return manager


Manager = Annotated[ConnectionManager, Depends(get_manager)]
