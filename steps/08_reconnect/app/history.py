"""Step 08, lesson: what was said in one room, and under which keys, as long as the process lives."""

from starlette.types import Message

from .encoding import encode


class History:
    def __init__(self) -> None:
        self.frames: list[Message] = []
        self.ids: dict[str, int] = {}

    def add(self, name: str, text: str, key: str) -> Message:
        """Keep a message, and give its frame."""
        # Ids are 1, 2, 3, ..., so the frame with the id I is number I of the list.
        message_id = len(self.frames) + 1
        self.frames.append(encode({"type": "message", "id": message_id, "from": name, "text": text}))
        if key:
            self.ids[key] = message_id
        return self.frames[-1]

    def since(self, after: int) -> list[Message]:
        """The frames that a member has missed who has seen everything up to this id."""
        return self.frames[after:]
