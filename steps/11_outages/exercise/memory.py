"""Step 11: a broker for a single process, in memory, with a journal if you want one."""

from collections.abc import Mapping
from typing import Any

from .broker import BrokerUnavailable, HistoryPage, Listener, Presence, StoredMessage
from .encoding import encode
from .history import History
from .journal import Journal, Record
from .settings import DEDUP_WINDOW


class MemoryBroker:
    process = ""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.histories: dict[str, History] = {}
        # By room, then by sender and key, because two senders may choose the same key.
        self.ids_by_key: dict[str, dict[tuple[str, str], int]] = {}
        self.names_by_room: dict[str, list[str]] = {}
        self.version = 0
        for record in journal.read():
            self._store(record)

    async def start(self, listener: Listener) -> None:
        self.listener = listener

    async def stop(self) -> None:
        self.journal.close()

    async def publish(self, room_id: str, sender: str, text: str, key: str) -> int:
        if key and (known := self.ids_by_key.get(room_id, {}).get((sender, key))):
            return known
        last_id = self.histories[room_id].last_id if room_id in self.histories else 0
        record = Record(room=room_id, id=last_id + 1, sender=sender, text=text, key=key)
        # Write ahead: store the message before any member gets it.
        try:
            self.journal.append(record)
        except OSError as error:
            raise BrokerUnavailable from error
        await self.listener.on_event(room_id, self._store(record))
        return record.id

    def _store(self, record: Record) -> StoredMessage:
        event = encode({"type": "message", "id": record.id, "from": record.sender, "text": record.text})
        message = StoredMessage(record.id, event)
        self.histories.setdefault(record.room, History()).add(message)
        if record.key:
            ids = self.ids_by_key.setdefault(record.room, {})
            ids[record.sender, record.key] = record.id
            if len(ids) > DEDUP_WINDOW:
                del ids[next(iter(ids))]
        return message

    async def read_history(self, room_id: str, after: int) -> HistoryPage:
        history = self.histories.get(room_id, History())
        return HistoryPage(history.last_id, [message for message in history.messages if message.id > after])

    async def update_presence(self, names_by_room: Mapping[str, list[str]]) -> dict[str, Presence]:
        self.version += 1
        for room_id, here in names_by_room.items():
            if here:
                self.names_by_room[room_id] = here
            else:
                self.names_by_room.pop(room_id, None)
        return {room_id: await self.get_presence(room_id) for room_id in names_by_room}

    async def get_presence(self, room_id: str) -> Presence:
        return Presence(self.version, {"": self.names_by_room.get(room_id, [])})

    async def publish_transient(self, room_id: str, event: dict[str, Any]) -> None:
        await self.listener.on_event(room_id, event)
