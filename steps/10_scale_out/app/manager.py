"""Step 10, lesson: the connection manager. It never waits for a tab, so all tabs get the events in the same order."""

from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import Depends
from fastapi.requests import HTTPConnection
from starlette.types import Message as ASGIEvent

from .broker import Broker
from .encoding import encode
from .history import History
from .settings import MAX_UNANSWERED_PINGS
from .tab import Tab


class ConnectionManager:
    def __init__(self, broker: Broker) -> None:
        self.rooms: dict[str, dict[str, set[Tab]]] = {}
        self.broker = broker
        # Kept for empty rooms too, because a member may rejoin.
        self.histories: dict[str, History] = {}

    def history(self, room_id: str) -> History:
        return self.histories.get(room_id, History())

    def names(self, room_id: str) -> list[str]:
        return sorted(self.rooms.get(room_id, {}))

    def tabs(self, room_id: str, name: str) -> set[Tab]:
        return self.rooms.get(room_id, {}).get(name, set())

    def all_tabs(self, room_id: str, exclude: str | None = None) -> list[Tab]:
        room = self.rooms.get(room_id, {})
        return [tab for name, tabs in room.items() if name != exclude for tab in tabs]

    def join(self, room_id: str, tab: Tab, after: int | None) -> None:
        room = self.rooms.setdefault(room_id, {})
        is_new = tab.name not in room
        room.setdefault(tab.name, set()).add(tab)
        members = encode({"type": "members", "names": self.names(room_id)})
        # The replay has all earlier messages, the room sends all later ones: no await in between.
        tab.enqueue_replay([members, *(self.history(room_id).since(after) if after is not None else [])])
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

    async def post_message(self, room_id: str, name: str, text: str, key: str) -> int:
        """Publish a message to all processes unless it's a duplicate, and return its id."""
        history = self.histories.setdefault(room_id, History())
        if known := history.ids_by_key.get((name, key)):
            return known
        message_id = history.assign_id(name, key)
        await self.broker.publish({"room": room_id, "id": message_id, "from": name, "text": text})
        return message_id

    def on_event(self, event: dict[str, Any]) -> None:
        """Deliver a published message to the tabs of this process."""
        room_id = event.pop("room")
        encoded = encode({"type": "message"} | event)
        self.histories.setdefault(room_id, History()).add(event["id"], encoded)
        self.send_event(room_id, self.all_tabs(room_id), encoded)

    def send(self, room_id: str, tabs: Iterable[Tab], message: dict[str, Any]) -> None:
        self.send_event(room_id, tabs, encode(message))

    def send_event(self, room_id: str, tabs: Iterable[Tab], event: ASGIEvent) -> None:
        self.close(room_id, [tab for tab in tabs if not tab.try_put(event)], 1013, "too slow")

    def ping_tabs(self) -> None:
        """Disconnect the tabs that have sent nothing, and ping the others."""
        for room_id in list(self.rooms):
            silent = [tab for tab in self.all_tabs(room_id) if tab.unanswered_pings == MAX_UNANSWERED_PINGS]
            self.close(room_id, silent, 4408, "no sign of life")
            for tab in self.all_tabs(room_id):
                tab.unanswered_pings += 1
            self.send(room_id, self.all_tabs(room_id), {"type": "ping"})


# HTTPConnection is the base class of Request and WebSocket, so both kinds of routes can use this dependency.
async def get_manager(connection: HTTPConnection) -> ConnectionManager:
    manager: ConnectionManager = connection.state.manager
    return manager


ManagerDep = Annotated[ConnectionManager, Depends(get_manager)]
