"""Step 07, exercise: who is where. Whoever is told something finds it in a queue; nothing in here waits."""

from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import Depends
from fastapi.requests import HTTPConnection

from .tab import Tab

# TODO 1: a message is {"type": "message", "id": I, "from": N, "text": T}, with ids 1, 2, 3, ... in each room. They go
#         on when the room was empty. All members get the same messages in the same order.


class ConnectionManager:
    def __init__(self) -> None:
        self.rooms: dict[str, dict[str, set[Tab]]] = {}

    def names(self, room_id: str) -> list[str]:
        return sorted(self.rooms.get(room_id, {}))

    def tabs(self, room_id: str, name: str) -> set[Tab]:
        return self.rooms.get(room_id, {}).get(name, set())

    def everybody(self, room_id: str, but: str | None = None) -> list[Tab]:
        return [tab for name, tabs in self.rooms.get(room_id, {}).items() if name != but for tab in tabs]

    def join(self, room_id: str, tab: Tab) -> None:
        to_tell = [] if self.tabs(room_id, tab.name) else self.everybody(room_id)
        self.rooms.setdefault(room_id, {}).setdefault(tab.name, set()).add(tab)
        self.send(room_id, [tab], {"type": "members", "names": self.names(room_id)})
        self.send(room_id, to_tell, {"type": "joined", "name": tab.name})

    def leave(self, room_id: str, tab: Tab) -> None:
        tabs = self.tabs(room_id, tab.name)
        tabs.discard(tab)
        if not tabs and tab.name in self.rooms.get(room_id, {}):
            del self.rooms[room_id][tab.name]
            self.send(room_id, self.everybody(room_id), {"type": "left", "name": tab.name})
            if not self.rooms.get(room_id, True):
                del self.rooms[room_id]

    def close(self, room_id: str, tabs: Iterable[Tab], code: int, reason: str) -> None:
        for tab in tabs:
            tab.close(code, reason)
            self.leave(room_id, tab)

    def send(self, room_id: str, tabs: Iterable[Tab], message: dict[str, Any]) -> None:
        # The queue of a tab is full when it does not keep up. Then it is dropped, so that the others go on.
        self.close(room_id, [tab for tab in tabs if not tab.put(message)], 1013, "too slow")


# HTTPConnection is what a Request and a WebSocket have in common, so both kinds of routes can ask for the manager.
async def get_manager(connection: HTTPConnection) -> ConnectionManager:
    manager: ConnectionManager = connection.state.manager
    return manager


Manager = Annotated[ConnectionManager, Depends(get_manager)]
