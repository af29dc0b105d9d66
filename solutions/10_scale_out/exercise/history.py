"""Step 10: the latest messages of one room."""

from collections import deque

from starlette.types import Message as ASGIEvent

from .broker import StoredMessage
from .encoding import encode
from .settings import HISTORY_SIZE


class History:
    def __init__(self) -> None:
        self.last_id = 0
        self.messages: deque[StoredMessage] = deque(maxlen=HISTORY_SIZE)

    def add(self, message: StoredMessage) -> None:
        self.last_id = message.id
        self.messages.append(message)

    def since(self, after: int) -> list[ASGIEvent]:
        """Return the events after this id, with a gap where messages are lost."""
        replay = []
        for message in self.messages:
            if message.id > after:
                if missed := message.id - after - 1:
                    replay.append(gap(missed))
                replay.append(message.event)
                after = message.id
        if missed := self.last_id - after:
            replay.append(gap(missed))
        return replay


def gap(missed: int) -> ASGIEvent:
    """Return the event for a number of lost messages."""
    return encode({"type": "gap", "missed": missed})
