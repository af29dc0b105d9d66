"""Step 07, lesson: the connection manager. A broadcast only enqueues, so no method waits."""

import json
from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import Depends
from fastapi.requests import HTTPConnection
from starlette.types import Message as ASGIEvent

from .tab import Tab


class ConnectionManager:
    def __init__(self) -> None:
        self.rooms: dict[str, dict[str, set[Tab]]] = {}

    def names(self, room_id: str) -> list[str]:
        return sorted(self.rooms.get(room_id, {}))

    def tabs(self, room_id: str, name: str) -> set[Tab]:
        return self.rooms.get(room_id, {}).get(name, set())

    def all_tabs(self, room_id: str, exclude: str | None = None) -> list[Tab]:
        room = self.rooms.get(room_id, {})
        return [tab for name, tabs in room.items() if name != exclude for tab in tabs]

    def join(self, room_id: str, tab: Tab) -> None:
        room = self.rooms.setdefault(room_id, {})
        is_new = tab.name not in room
        room.setdefault(tab.name, set()).add(tab)
        self.send(room_id, [tab], {"type": "members", "names": self.names(room_id)})
        if is_new:
            self.send(room_id, self.all_tabs(room_id, exclude=tab.name), {"type": "joined", "name": tab.name})

    def leave(self, room_id: str, *tabs: Tab) -> None:
        """Remove these tabs, and notify the others of each name that has no tab left."""
        names = self._remove(room_id, tabs)
        # A loop, not recursion: each notice may overflow further queues, too many for the recursion limit.
        while names:
            notice = encode({"type": "left", "name": names.pop(0)})
            overflowed = [tab for tab in self.all_tabs(room_id) if not tab.try_put(notice)]
            for tab in overflowed:
                tab.close(1013, "too slow")
            names += self._remove(room_id, overflowed)

    def _remove(self, room_id: str, tabs: Iterable[Tab]) -> list[str]:
        """Remove tabs, and return the names that have no tab left."""
        left = []
        for tab in tabs:
            remaining = self.tabs(room_id, tab.name)
            # A removed tab isn't in the room any longer, and its name may have rejoined with another tab.
            if tab in remaining:
                remaining.remove(tab)
                if not remaining:
                    del self.rooms[room_id][tab.name]
                    left.append(tab.name)
        if not self.rooms.get(room_id, True):
            del self.rooms[room_id]
        return left

    def close(self, room_id: str, tabs: Iterable[Tab], code: int, reason: str) -> None:
        tabs = list(tabs)
        for tab in tabs:
            tab.close(code, reason)
        self.leave(room_id, *tabs)

    def send(self, room_id: str, tabs: Iterable[Tab], message: dict[str, Any]) -> None:
        event = encode(message)
        self.close(room_id, [tab for tab in tabs if not tab.try_put(event)], 1013, "too slow")


def encode(message: dict[str, Any]) -> ASGIEvent:
    """Return the ASGI event of a message. Encode it once, and send it to all tabs."""
    return {"type": "websocket.send", "text": json.dumps(message, separators=(",", ":"), ensure_ascii=False)}


# HTTPConnection is the base class of Request and WebSocket, so both kinds of routes can use this dependency.
async def get_manager(connection: HTTPConnection) -> ConnectionManager:
    manager: ConnectionManager = connection.state.manager
    return manager


ManagerDep = Annotated[ConnectionManager, Depends(get_manager)]
