"""Step 09, exercise: what stands between the processes, and what a process may ask of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.types import Message


class Away(Exception):
    """What stands between the processes cannot be reached now. It may have done what it was asked, or not."""


@dataclass(frozen=True)
class Said:
    """A message as everybody in the room gets it."""

    id: int
    frame: Message


@dataclass(frozen=True)
class Page:
    """What was said after some message, as far as it is kept, and the id of the last one."""

    last_id: int
    said: list[Said]


@dataclass(frozen=True)
class Presence:
    """Who is in a room: for each process the names that it has there. The version rises with each change."""

    version: int
    names: dict[str, list[str]]


class Listener(Protocol):
    """A process, as its broker sees it."""

    async def hear(self, room_id: str, event: Said | Presence | dict[str, Any]) -> None:
        """Something has happened in a room, here or elsewhere."""

    async def resume(self) -> None:
        """Events may have been missed. Find out what is new, and say what is here."""

    async def tell_all(self) -> None:
        """Say again what is here."""


class Broker(Protocol):
    """Every call but the first two raises Away if it can't be answered now."""

    process: str
    """The name of this process in a Presence."""

    async def start(self, listener: Listener) -> None:
        """From now on the listener hears what happens."""

    async def stop(self) -> None:
        """Nothing is heard any more, and the names of this process are off every list."""

    async def publish(self, room_id: str, sender: str, text: str, key: str) -> int:
        """Keep a message and let every process hear it, unless it was before; and give its id."""

    async def read(self, room_id: str, after: int) -> Page:
        """What was said after this message."""

    async def present(self, names: Mapping[str, list[str]]) -> dict[str, Presence]:
        """Set the names that this process has in some rooms now, and return who is in each of them.

        Of two calls at the same time, no room is in both.
        """

    async def members(self, room_id: str) -> Presence:
        """Who is in the room."""

    async def send(self, room_id: str, event: dict[str, Any]) -> None:
        """Let every process hear something that is not kept."""
