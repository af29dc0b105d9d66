"""Step 09, exercise: what was said in one room, as far as it is kept."""

from collections import deque

from starlette.types import Message

from .broker import Said
from .encoding import encode
from .settings import KEPT_MESSAGES


class History:
    def __init__(self) -> None:
        self.last_id = 0
        self.said: deque[Said] = deque(maxlen=KEPT_MESSAGES)

    def add(self, said: Said) -> None:
        self.last_id = said.id
        self.said.append(said)

    def since(self, after: int) -> list[Message]:
        """Return what a member has missed who has everything up to this id, with a gap where messages are lost."""
        events = []
        for said in self.said:
            if said.id > after:
                if missed := said.id - after - 1:
                    events.append(gap(missed))
                events.append(said.frame)
                after = said.id
        if missed := self.last_id - after:
            events.append(gap(missed))
        return events


def gap(missed: int) -> Message:
    """The frame that says that so many messages are lost."""
    return encode({"type": "gap", "missed": missed})
