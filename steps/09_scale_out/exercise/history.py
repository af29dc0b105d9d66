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
        """The frames that a member has missed who has seen everything up to this id."""
        frames = [said.frame for said in self.said if said.id > after]
        missed = self.last_id - after - len(frames)
        return [gap(missed), *frames] if missed else frames


def gap(missed: int) -> Message:
    """The frame that says that so many messages are lost."""
    return encode({"type": "gap", "missed": missed})
