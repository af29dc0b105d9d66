"""Step 09, solution: a broker for one process, which needs nothing but perhaps a file."""

from collections.abc import Mapping
from typing import Any

from .broker import Away, Listener, Page, Presence, Said
from .encoding import encode
from .history import History
from .journal import Journal, Record
from .settings import KEPT_KEYS


class MemoryBroker:
    process = ""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.histories: dict[str, History] = {}
        # By room, and there by sender and key, because two senders may think of the same key.
        self.ids: dict[str, dict[tuple[str, str], int]] = {}
        self.names: dict[str, list[str]] = {}
        self.version = 0
        for record in journal.read():
            self._keep(record)

    async def start(self, listener: Listener) -> None:
        self.listener = listener

    async def stop(self) -> None:
        self.journal.close()

    async def publish(self, room_id: str, sender: str, text: str, key: str) -> int:
        if key and (known := self.ids.get(room_id, {}).get((sender, key))):
            return known
        last_id = self.histories[room_id].last_id if room_id in self.histories else 0
        record = Record(room=room_id, id=last_id + 1, sender=sender, text=text, key=key)
        # Written first: whoever hears of a message can rely on it.
        try:
            self.journal.append(record)
        except OSError as error:
            raise Away from error
        await self.listener.hear(room_id, self._keep(record))
        return record.id

    def _keep(self, record: Record) -> Said:
        frame = encode({"type": "message", "id": record.id, "from": record.sender, "text": record.text})
        said = Said(record.id, frame)
        self.histories.setdefault(record.room, History()).add(said)
        if record.key:
            ids = self.ids.setdefault(record.room, {})
            ids[record.sender, record.key] = record.id
            if len(ids) > KEPT_KEYS:
                del ids[next(iter(ids))]
        return said

    async def read(self, room_id: str, after: int) -> Page:
        history = self.histories.get(room_id, History())
        return Page(history.last_id, [said for said in history.said if said.id > after])

    async def present(self, names: Mapping[str, list[str]]) -> dict[str, Presence]:
        self.version += 1
        for room_id, here in names.items():
            if here:
                self.names[room_id] = here
            else:
                self.names.pop(room_id, None)
        return {room_id: await self.members(room_id) for room_id in names}

    async def members(self, room_id: str) -> Presence:
        return Presence(self.version, {"": self.names.get(room_id, [])})

    async def send(self, room_id: str, event: dict[str, Any]) -> None:
        await self.listener.hear(room_id, event)
