"""Step 08, lesson: the messages of one room and their keys, in memory."""

from starlette.types import Message

from .encoding import encode


class History:
    def __init__(self) -> None:
        self.events: list[Message] = []
        self.ids: dict[str, int] = {}

    def add(self, name: str, text: str, key: str) -> Message:
        """Store a message, and return its event."""
        # Ids are 1, 2, 3, ..., so the message with the id I is at index I - 1.
        message_id = len(self.events) + 1
        self.events.append(encode({"type": "message", "id": message_id, "from": name, "text": text}))
        if key:
            self.ids[key] = message_id
        return self.events[-1]

    def since(self, after: int) -> list[Message]:
        """Return the events after this id."""
        return self.events[after:]
