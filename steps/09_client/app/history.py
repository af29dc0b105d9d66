"""Step 08, solution: the latest messages of one room, and their keys."""

from collections import deque

from starlette.types import Message as ASGIEvent

from .encoding import encode
from .journal import Record
from .settings import DEDUP_WINDOW, HISTORY_SIZE


class History:
    def __init__(self) -> None:
        self.last_id = 0
        self.events: deque[tuple[int, ASGIEvent]] = deque(maxlen=HISTORY_SIZE)
        # By sender and key, because two senders may choose the same key.
        self.ids_by_key: dict[tuple[str, str], int] = {}

    def add(self, record: Record) -> ASGIEvent:
        """Store a message, and return its event."""
        event = encode({"type": "message", "id": record.id, "from": record.sender, "text": record.text})
        self.last_id = record.id
        self.events.append((record.id, event))
        if record.key:
            self.ids_by_key[record.sender, record.key] = record.id
            if len(self.ids_by_key) > DEDUP_WINDOW:
                del self.ids_by_key[next(iter(self.ids_by_key))]
        return event

    def since(self, after: int) -> list[ASGIEvent]:
        """Return the events after this id, with a gap where messages are lost."""
        replay = []
        for message_id, event in self.events:
            if message_id > after:
                if missed := message_id - after - 1:
                    replay.append(encode({"type": "gap", "missed": missed}))
                replay.append(event)
                after = message_id
        return replay
