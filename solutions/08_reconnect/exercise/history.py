"""Step 08, solution: the latest messages of one room, and their keys."""

from collections import deque

from starlette.types import Message

from .encoding import encode
from .journal import Record
from .settings import DEDUP_WINDOW, HISTORY_SIZE


class History:
    def __init__(self) -> None:
        self.last_id = 0
        self.events: deque[tuple[int, Message]] = deque(maxlen=HISTORY_SIZE)
        # By sender and key, because two senders may choose the same key.
        self.ids: dict[tuple[str, str], int] = {}

    def add(self, record: Record) -> Message:
        """Store a message, and return its event."""
        event = encode({"type": "message", "id": record.id, "from": record.sender, "text": record.text})
        self.last_id = record.id
        self.events.append((record.id, event))
        if record.key:
            self.ids[record.sender, record.key] = record.id
            if len(self.ids) > DEDUP_WINDOW:
                del self.ids[next(iter(self.ids))]
        return event

    def since(self, after: int) -> list[Message]:
        """Return the events after this id, with a gap where messages are lost."""
        replay = []
        for message_id, event in self.events:
            if message_id > after:
                if missed := message_id - after - 1:
                    replay.append(encode({"type": "gap", "missed": missed}))
                replay.append(event)
                after = message_id
        return replay
