"""Step 08, lesson: the messages of one room and their keys, in memory."""

from starlette.types import Message as ASGIEvent

from .encoding import encode


class History:
    def __init__(self) -> None:
        self.events: list[ASGIEvent] = []
        self.ids_by_key: dict[str, int] = {}

    def add(self, name: str, text: str, key: str) -> ASGIEvent:
        """Store a message, and return its event."""
        # Ids are 1, 2, 3, ..., so the message with the id I is at index I - 1.
        message_id = len(self.events) + 1
        self.events.append(encode({"type": "message", "id": message_id, "from": name, "text": text}))
        if key:
            self.ids_by_key[key] = message_id
        return self.events[-1]

    def since(self, after: int) -> list[ASGIEvent]:
        """Return the events after this id."""
        return self.events[after:]
