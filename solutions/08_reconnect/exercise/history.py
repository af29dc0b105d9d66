"""Step 08, solution: what was said in one room, and under which keys."""

from collections import deque

from starlette.types import Message

from .encoding import encode
from .journal import Record
from .settings import KEPT_KEYS, KEPT_MESSAGES


class History:
    def __init__(self) -> None:
        self.last_id = 0
        self.frames: deque[tuple[int, Message]] = deque(maxlen=KEPT_MESSAGES)
        # By sender and key, because two senders may think of the same key.
        self.ids: dict[tuple[str, str], int] = {}

    def add(self, record: Record) -> Message:
        """Keep a message, and give its frame."""
        frame = encode({"type": "message", "id": record.id, "from": record.sender, "text": record.text})
        self.last_id = record.id
        self.frames.append((record.id, frame))
        if record.key:
            self.ids[record.sender, record.key] = record.id
            if len(self.ids) > KEPT_KEYS:
                del self.ids[next(iter(self.ids))]
        return frame

    def since(self, after: int) -> list[Message]:
        """Return what a member has missed who has everything up to this id, with a gap where messages are lost."""
        events = []
        for message_id, frame in self.frames:
            if message_id > after:
                if missed := message_id - after - 1:
                    events.append(encode({"type": "gap", "missed": missed}))
                events.append(frame)
                after = message_id
        return events
