"""Step 10: the interface of a broker, which connects the processes."""

from dataclasses import dataclass
from typing import Protocol

from starlette.types import Message as ASGIEvent


@dataclass(frozen=True)
class StoredMessage:
    """A message, and the event by which all tabs of the room get it."""

    id: int
    event: ASGIEvent


@dataclass(frozen=True)
class HistoryPage:
    """The stored messages after an id, and the last id of the room."""

    last_id: int
    messages: list[StoredMessage]


class Listener(Protocol):
    """The part of a process that gets the broker's events."""

    async def on_event(self, room_id: str, event: StoredMessage) -> None:
        """Handle a message in a room, from any process."""


class Broker(Protocol):
    """The interface of a broker."""

    async def start(self, listener: Listener) -> None:
        """Start sending events to the listener."""

    async def stop(self) -> None:
        """Stop sending events."""

    async def publish(self, room_id: str, sender: str, text: str, key: str) -> int:
        """Store a message and send it to all processes, unless it's a duplicate. Return its id.

        Raises:
            OSError: the message can't be stored now.
        """

    async def read_history(self, room_id: str, after: int) -> HistoryPage:
        """Return the stored messages after an id."""
