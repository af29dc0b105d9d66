"""What was said in one room, and under which keys."""

from collections import deque

from starlette.types import Message

from .encoding import encode
from .journal import Record
from .settings import KEPT_KEYS, KEPT_MESSAGES


class History:
    def __init__(self) -> None:
        self.last_id = 0
        self.frames: deque[tuple[int, Message]] = deque(maxlen=KEPT_MESSAGES)
        # By the hash of sender and key, because two senders may think of the same key.
        self.ids: dict[int, int] = {}

    def add(self, record: Record) -> Message:
        """Keep a message, and give its frame."""
        frame = encode({"type": "message", "id": record.id, "from": record.sender, "text": record.text})
        self.last_id = record.id
        self.frames.append((record.id, frame))
        if record.hashed:
            self.ids[record.hashed] = record.id
            if len(self.ids) > KEPT_KEYS:
                del self.ids[next(iter(self.ids))]
        return frame

    def since(self, after: int) -> list[Message]:
        """The frames that a member has missed who has seen everything up to this id."""
        frames = [frame for message_id, frame in self.frames if message_id > after]
        missed = self.last_id - after - len(frames)
        return [encode({"type": "gap", "missed": missed}), *frames] if missed else frames
