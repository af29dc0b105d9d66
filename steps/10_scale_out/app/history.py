"""Step 10, lesson: the latest messages of one room, and their keys."""

from collections import deque

from starlette.types import Message as ASGIEvent

from .encoding import encode
from .settings import DEDUP_WINDOW, HISTORY_SIZE


class History:
    def __init__(self) -> None:
        self.last_id = 0
        self.events: deque[tuple[int, ASGIEvent]] = deque(maxlen=HISTORY_SIZE)
        # By sender and key, because two senders may choose the same key.
        self.ids_by_key: dict[tuple[str, str], int] = {}

    def assign_id(self, sender: str, key: str) -> int:
        """Return the id of the next message at this process."""
        self.last_id += 1
        if key:
            self.ids_by_key[sender, key] = self.last_id
            if len(self.ids_by_key) > DEDUP_WINDOW:
                del self.ids_by_key[next(iter(self.ids_by_key))]
        return self.last_id

    def add(self, message_id: int, event: ASGIEvent) -> None:
        self.last_id = max(message_id, self.last_id)
        self.events.append((message_id, event))

    def since(self, after: int) -> list[ASGIEvent]:
        """Return the events after this id."""
        events = [event for message_id, event in self.events if message_id > after]
        missed = self.last_id - after - len(events)
        return [encode({"type": "gap", "missed": missed}), *events] if missed else events
