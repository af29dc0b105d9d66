"""Step 09, lesson: what was said in one room, and under which keys."""

from collections import deque

from starlette.types import Message

from .encoding import encode
from .settings import KEPT_KEYS, KEPT_MESSAGES


class History:
    def __init__(self) -> None:
        self.last_id = 0
        self.frames: deque[tuple[int, Message]] = deque(maxlen=KEPT_MESSAGES)
        # By sender and key, because two senders may think of the same key.
        self.ids: dict[tuple[str, str], int] = {}

    def new_id(self, sender: str, key: str) -> int:
        """The id of a message that comes next at this process."""
        self.last_id += 1
        if key:
            self.ids[sender, key] = self.last_id
            if len(self.ids) > KEPT_KEYS:
                del self.ids[next(iter(self.ids))]
        return self.last_id

    def add(self, message_id: int, frame: Message) -> None:
        self.last_id = max(message_id, self.last_id)
        self.frames.append((message_id, frame))

    def since(self, after: int) -> list[Message]:
        """The frames that a member has missed who has seen everything up to this id."""
        frames = [frame for message_id, frame in self.frames if message_id > after]
        missed = self.last_id - after - len(frames)
        return [encode({"type": "gap", "missed": missed}), *frames] if missed else frames
