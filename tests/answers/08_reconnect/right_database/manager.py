"""Step 08: who is where, and who is told what. No change waits for anything: all members see one order."""

from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import Depends
from fastapi.requests import HTTPConnection
from starlette.types import Message

from .encoding import encode
from .journal import Journal
from .settings import MAX_UNANSWERED_PINGS
from .tab import Tab


class ConnectionManager:
    def __init__(self, journal: Journal) -> None:
        self.rooms: dict[str, dict[str, set[Tab]]] = {}
        self.journal = journal

    def missed(self, room_id: str, after: int | None) -> list[Message]:
        if after is None:
            return []
        rows = self.journal.since(room_id, after)
        frames = []
        for before, (number, sender, text) in zip([after, *(row[0] for row in rows)], rows, strict=False):
            if number > before + 1:
                frames.append(encode({"type": "gap", "missed": number - before - 1}))
            frames.append(encode({"type": "message", "id": number, "from": sender, "text": text}))
        return frames

    def names(self, room_id: str) -> list[str]:
        return sorted(self.rooms.get(room_id, {}))

    def tabs(self, room_id: str, name: str) -> set[Tab]:
        return self.rooms.get(room_id, {}).get(name, set())

    def everybody(self, room_id: str, but: str | None = None) -> list[Tab]:
        room = self.rooms.get(room_id, {})
        return [tab for name, tabs in room.items() if name != but for tab in tabs]

    def join(self, room_id: str, tab: Tab, after: int | None) -> None:
        room = self.rooms.setdefault(room_id, {})
        is_new = tab.name not in room
        room.setdefault(tab.name, set()).add(tab)
        members = encode({"type": "members", "names": self.names(room_id)})
        # What was before, here, and what comes next, from the room: with no await between, nothing is lost or doubled.
        tab.enqueue_replay([members, *self.missed(room_id, after)])
        if is_new:
            self.send(room_id, self.everybody(room_id, but=tab.name), {"type": "joined", "name": tab.name})

    def leave(self, room_id: str, *tabs: Tab) -> None:
        """Remove these tabs from the room, and notify the others whose last tab that was."""
        names = self._remove(room_id, tabs)
        # A loop: a notice may find more queues full, and recursion over a large room would go too deep.
        while names:
            notice = encode({"type": "left", "name": names.pop(0)})
            overflowed = [tab for tab in self.everybody(room_id) if not tab.try_put(notice)]
            for tab in overflowed:
                tab.close(1013, "too slow")
            names += self._remove(room_id, overflowed)

    def _remove(self, room_id: str, tabs: Iterable[Tab]) -> list[str]:
        """Remove tabs, and return the names that have no other one."""
        gone = []
        for tab in tabs:
            rest = self.tabs(room_id, tab.name)
            # A tab that was removed is not here any more, and the name may have come back with another one.
            if tab in rest:
                rest.remove(tab)
                if not rest:
                    del self.rooms[room_id][tab.name]
                    gone.append(tab.name)
        if not self.rooms.get(room_id, True):
            del self.rooms[room_id]
        return gone

    def close(self, room_id: str, tabs: Iterable[Tab], code: int, reason: str) -> None:
        tabs = list(tabs)
        for tab in tabs:
            tab.close(code, reason)
        self.leave(room_id, *tabs)

    def message(self, room_id: str, name: str, text: str, key: str) -> int:
        """Pass a message on, unless it was before, and give its id."""
        if key and (known := self.journal.id_of(room_id, name, key)):
            return known
        number = self.journal.add(room_id, name, text, key)
        self.send(room_id, self.everybody(room_id), {"type": "message", "id": number, "from": name, "text": text})
        return number

    def send(self, room_id: str, tabs: Iterable[Tab], message: dict[str, Any]) -> None:
        self.send_frame(room_id, tabs, encode(message))

    def send_frame(self, room_id: str, tabs: Iterable[Tab], frame: Message) -> None:
        self.close(room_id, [tab for tab in tabs if not tab.try_put(frame)], 1013, "too slow")

    def beat(self) -> None:
        """Disconnect silent members, and ping the others."""
        for room_id in list(self.rooms):
            silent = [tab for tab in self.everybody(room_id) if tab.unanswered_pings == MAX_UNANSWERED_PINGS]
            self.close(room_id, silent, 4408, "no sign of life")
            for tab in self.everybody(room_id):
                tab.unanswered_pings += 1
            self.send(room_id, self.everybody(room_id), {"type": "ping"})


# HTTPConnection is what a Request and a WebSocket have in common, so both kinds of routes can ask for the manager.
async def get_manager(connection: HTTPConnection) -> ConnectionManager:
    manager: ConnectionManager = connection.state.manager
    return manager


Manager = Annotated[ConnectionManager, Depends(get_manager)]
