"""Step 11: the interface of a broker, which connects the processes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.types import Message as ASGIEvent


class BrokerUnavailable(Exception):
    """The broker is unavailable. The call may have taken effect, or not."""


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


@dataclass(frozen=True)
class Presence:
    """The names that have a tab at each process. As an event, only those of the process that changed.

    Each change of a room increments its version.
    """

    version: int
    names_by_process: dict[str, list[str]]


class Listener(Protocol):
    """The part of a process that gets the broker's events."""

    async def on_event(self, room_id: str, event: StoredMessage | Presence | dict[str, Any]) -> None:
        """Handle an event in a room, from any process."""

    async def resync(self) -> None:
        """Read what was missed, and send the names of this process: events may be lost."""

    async def refresh_presence(self) -> None:
        """Send the names of this process again."""


class Broker(Protocol):
    """The interface of a broker. All methods except start() and stop() raise BrokerUnavailable in an outage."""

    process: str
    """The name of this process in a Presence."""

    async def start(self, listener: Listener) -> None:
        """Start sending events to the listener."""

    async def stop(self) -> None:
        """Stop sending events, and remove the names of this process from all rooms."""

    async def publish(self, room_id: str, sender: str, text: str, key: str) -> int:
        """Store a message and send it to all processes, unless it's a duplicate. Return its id."""

    async def read_history(self, room_id: str, after: int) -> HistoryPage:
        """Return the stored messages after an id."""

    async def update_presence(self, names_by_room: Mapping[str, list[str]]) -> dict[str, Presence]:
        """Set the names of this process in some rooms, and return the members of each.

        Concurrent calls must not have a room in common.
        """

    async def get_presence(self, room_id: str) -> Presence:
        """Return the members of a room."""

    async def publish_transient(self, room_id: str, event: dict[str, Any]) -> None:
        """Send an event to all processes, without storing it."""
