"""Who is where, and who is told what. No change waits for anything: all members see one order."""

from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import Depends
from fastapi.requests import HTTPConnection
from starlette.types import Message

from .delivery import at_once, deliver
from .encoding import encode
from .history import History
from .journal import Journal, Record
from .tab import Tab


class ConnectionManager:
    def __init__(self, journal: Journal) -> None:
        self.rooms: dict[str, dict[str, set[Tab]]] = {}
        self.journal = journal
        # Kept for empty rooms too: somebody may come back to one.
        self.histories: dict[str, History] = {}
        for record in journal.read():
            self.histories.setdefault(record.room, History()).add(record)

    def history(self, room_id: str) -> History:
        return self.histories.get(room_id, History())

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
        tab.begin_with([members, *(self.history(room_id).since(after) if after is not None else [])])
        if is_new:
            self.send(room_id, self.everybody(room_id, but=tab.name), {"type": "joined", "name": tab.name})

    def leave(self, room_id: str, *tabs: Tab) -> None:
        """Take these tabs off the list, those that are on it, and tell the others whose last one it was."""
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
        for name in gone:
            self.send(room_id, self.everybody(room_id), {"type": "left", "name": name})

    def close(self, room_id: str, tabs: Iterable[Tab], code: int, reason: str) -> None:
        tabs = list(tabs)
        for tab in tabs:
            tab.close(code, reason)
        self.leave(room_id, *tabs)

    def message(self, room_id: str, name: str, text: str, key: str) -> int:
        """Pass a message on, unless it was before, and give its id."""
        history = self.histories.setdefault(room_id, History())
        hashed = hash((name, key)) if key else 0
        if known := history.ids.get(hashed):
            return known
        record = Record(room=room_id, id=history.last_id + 1, sender=name, text=text, hashed=hashed)
        # Written first: whoever hears of a message can rely on it.
        self.journal.append(record)
        self.send_frame(room_id, self.everybody(room_id), history.add(record))
        return record.id

    def send(self, room_id: str, tabs: Iterable[Tab], message: dict[str, Any]) -> None:
        self.send_frame(room_id, tabs, encode(message))

    def send_frame(self, room_id: str, tabs: Iterable[Tab], frame: Message) -> None:
        if full := at_once(deliver(frame, tabs)):
            self.close(room_id, full, 1013, "too slow")

    async def catch_up(self, room_id: str) -> None:
        """Hold up whoever is about to send, while a tab that reads is far behind."""
        for tab in self.everybody(room_id):
            if tab.behind_since is not None:
                await tab.catch_up()

    def beat(self) -> None:
        for room_id in list(self.rooms):
            tabs = self.everybody(room_id)
            self.close(room_id, [tab for tab in tabs if tab.unanswered == 3], 4408, "no sign of life")
            for tab in self.everybody(room_id):
                tab.unanswered += 1
            self.send(room_id, self.everybody(room_id), {"type": "ping"})


# HTTPConnection is what a Request and a WebSocket have in common, so both kinds of routes can ask for the manager.
async def get_manager(connection: HTTPConnection) -> ConnectionManager:
    manager: ConnectionManager = connection.state.manager
    return manager


Manager = Annotated[ConnectionManager, Depends(get_manager)]
