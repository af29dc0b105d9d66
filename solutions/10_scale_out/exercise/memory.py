"""Step 10: a broker for a single process, in memory, with a journal if you want one."""

from .broker import HistoryPage, Listener, StoredMessage
from .encoding import encode
from .history import History
from .journal import Journal, Record
from .settings import DEDUP_WINDOW


class MemoryBroker:
    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.histories: dict[str, History] = {}
        # By room, then by sender and key, because two senders may choose the same key.
        self.ids_by_key: dict[str, dict[tuple[str, str], int]] = {}
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
        self.journal.append(record)
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
