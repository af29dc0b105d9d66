"""Step 11: the connection manager. It never waits for a tab, so all tabs get the events in the same order."""

import asyncio
import logging
import uuid
from collections.abc import Coroutine, Iterable, Iterator
from contextlib import AsyncExitStack
from typing import Annotated, Any
from weakref import WeakValueDictionary

from fastapi import Depends
from fastapi.requests import HTTPConnection
from starlette.types import Message as ASGIEvent

from .broker import Broker, BrokerUnavailable, Presence, StoredMessage
from .encoding import encode
from .history import History, gap
from .settings import LEASE_TTL, MAX_UNANSWERED_PINGS
from .tab import Tab

logger = logging.getLogger(__name__)

ROOMS_PER_CALL = 100
"""Rooms in one call of the broker, so a join doesn't wait for all rooms of this process."""


class RoomPresence:
    """The members of a room, as sent to its tabs in this process."""

    def __init__(self) -> None:
        self.version = -1
        self.names_by_process: dict[str, list[str]] = {}

    def members(self) -> set[str]:
        return {name for names in self.names_by_process.values() for name in names}


class Removal:
    """The removal of a member from all processes."""

    def __init__(self, processes: set[str]) -> None:
        self.processes = processes
        """The processes that haven't confirmed the removal."""
        self.is_confirmed = asyncio.Event()

    def confirm(self, process: str) -> None:
        self.processes.discard(process)
        if not self.processes:
            self.is_confirmed.set()


class ConnectionManager:
    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.rooms: dict[str, dict[str, set[Tab]]] = {}
        """The tabs of this process, by room and name."""
        self.histories: dict[str, History] = {}
        """A copy of the broker's histories, for rooms that have had a tab here."""
        self.room_presences: dict[str, RoomPresence] = {}
        """For rooms that have a tab here."""
        self.presence_locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """By room. A lock exists as long as a call holds it or waits for it."""
        self.unsynced_rooms: set[str] = set()
        self.removals: dict[str, Removal] = {}
        self.tasks: set[asyncio.Task[None]] = set()

    def history(self, room_id: str) -> History:
        return self.histories.get(room_id, History())

    def names(self, room_id: str) -> set[str]:
        """Return the members of a room that has a tab here."""
        return self.room_presences[room_id].members() if room_id in self.room_presences else set()

    def tabs(self, room_id: str, name: str) -> set[Tab]:
        return self.rooms.get(room_id, {}).get(name, set())

    def all_tabs(self, room_id: str, exclude: str | None = None) -> list[Tab]:
        """Return the tabs that have got their presence snapshot. Before it, a tab gets nothing."""
        room = self.rooms.get(room_id, {})
        return [tab for name, tabs in room.items() if name != exclude for tab in tabs if tab.snapshot_sent]

    async def join(self, room_id: str, tab: Tab, after: int | None) -> None:
        self.rooms.setdefault(room_id, {}).setdefault(tab.name, set()).add(tab)
        await self.sync_presence(room_id)
        if tab not in self.tabs(room_id, tab.name):
            return  # Removed while it waited for the broker.
        members = encode({"type": "members", "names": sorted(self.names(room_id))})
        # The replay has all earlier messages, the room sends all later ones: no await in between.
        tab.enqueue_replay([members, *(self.history(room_id).since(after) if after is not None else [])])
        tab.snapshot_sent = True

    def leave(self, room_id: str, *tabs: Tab) -> None:
        """Remove these tabs from the room."""
        removed = [tab for tab in tabs if tab in self.tabs(room_id, tab.name)]
        for tab in removed:
            self.tabs(room_id, tab.name).remove(tab)
            # The name stays as long as it has another tab here.
            if not self.tabs(room_id, tab.name):
                del self.rooms[room_id][tab.name]
        if not self.rooms.get(room_id, True):
            del self.rooms[room_id]
            self.room_presences.pop(room_id, None)
        if removed:
            self.start_task(self.sync_presence(room_id))

    def start_task(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine in a task, and log its error."""
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._on_task_done)

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        # After BrokerUnavailable, the room is still in unsynced_rooms, so a later call sends it.
        if error and not isinstance(error, BrokerUnavailable):
            logger.error("A task of the manager has failed", exc_info=error)

    def close(self, room_id: str, tabs: Iterable[Tab], code: int, reason: str) -> None:
        tabs = list(tabs)
        for tab in tabs:
            tab.close(code, reason)
        self.leave(room_id, *tabs)

    async def sync_presence(self, *room_ids: str) -> None:
        """Send the names of this process to the broker, and notify the tabs of changes."""
        self.unsynced_rooms.update(room_ids)
        async with AsyncExitStack() as locked:
            # One call at a time for each room, so the last one sends the newest names. Sorted, so calls can't
            # deadlock.
            for room_id in sorted(room_ids):
                await locked.enter_async_context(self.presence_locks.setdefault(room_id, asyncio.Lock()))
            # An earlier call may have sent this room: one call is enough for many members that join together.
            due = self.unsynced_rooms.intersection(room_ids)
            self.unsynced_rooms -= due
            try:
                presences = await self.broker.update_presence(
                    {room_id: sorted(self.rooms.get(room_id, {})) for room_id in due}
                )
            except BaseException:
                self.unsynced_rooms |= due
                raise
            for room_id, presence in presences.items():
                self.apply_presence(room_id, presence, snapshot=True)

    async def refresh_presence(self) -> None:
        for batch in batches(self.rooms.keys() | self.unsynced_rooms):
            await self.sync_presence(*batch)

    async def resync(self) -> None:
        # Only rooms with a tab here. The others are loaded when a tab joins.
        for batch in batches(self.rooms):
            results = await asyncio.gather(*(self.load_history(room_id) for room_id in batch), return_exceptions=True)
            # After gather(), so no load continues during the next resync().
            for error in filter(None, results):
                raise error
        for room_presence in self.room_presences.values():
            room_presence.version = -1
        await self.refresh_presence()

    async def remove(self, room_id: str, name: str) -> bool:
        """Remove a member from all processes, and return whether it was in the room.

        Raises:
            BrokerUnavailable: the broker is unavailable, or a process doesn't confirm the removal.
        """
        presence = await self.broker.get_presence(room_id)
        removal = Removal({process for process, names in presence.names_by_process.items() if name in names})
        if not removal.processes:
            return False
        request_id = uuid.uuid4().hex
        self.removals[request_id] = removal
        try:
            await self.broker.publish_transient(room_id, {"type": "remove", "name": name, "request": request_id})
            # A killed process doesn't confirm. Its names are off the list when its lease has expired.
            async with asyncio.timeout(LEASE_TTL + 2):
                await removal.is_confirmed.wait()
        except TimeoutError:
            presence = await self.broker.get_presence(room_id)
            if any(name in presence.names_by_process.get(process, ()) for process in removal.processes):
                raise BrokerUnavailable from None
        finally:
            del self.removals[request_id]
        return True

    async def confirm(self, room_id: str, request_id: str) -> None:
        """Remove the member's name from the list, and confirm the removal."""
        await self.sync_presence(room_id)
        await self.broker.publish_transient(
            room_id, {"type": "removed", "request": request_id, "process": self.broker.process}
        )

    async def on_event(self, room_id: str, event: StoredMessage | Presence | dict[str, Any]) -> None:
        match event:
            case StoredMessage():
                if room_id not in self.histories:
                    return
                if event.id > self.histories[room_id].last_id + 1:
                    await self.load_history(room_id)
                self.deliver_message(room_id, event)
            case Presence():
                room_presence = self.room_presences.get(room_id)
                if room_presence and event.version > room_presence.version + 1:
                    self.apply_presence(room_id, await self.broker.get_presence(room_id), snapshot=True)
                elif room_presence:
                    self.apply_presence(room_id, event, snapshot=False)
            case {"type": "direct", "from": sender, "to": to, "text": text}:
                tabs = [tab for tab in self.tabs(room_id, to) if tab.snapshot_sent]
                self.send(room_id, tabs, {"type": "direct", "from": sender, "text": text})
            case {"type": "remove", "name": name, "request": request_id}:
                self.close(room_id, self.tabs(room_id, name), 1008, "removed")
                # In a task: the events of other rooms must not wait for the broker.
                self.start_task(self.confirm(room_id, request_id))
            case {"type": "removed", "request": request_id, "process": process}:
                if removal := self.removals.get(request_id):
                    removal.confirm(process)

    async def load_history(self, room_id: str) -> None:
        """Update the copy of a room's history, and send new messages to its tabs."""
        history = self.histories.setdefault(room_id, History())
        page = await self.broker.read_history(room_id, history.last_id)
        for message in page.messages:
            self.deliver_message(room_id, message)
            # Yield control to the writers: there may be many messages.
            await asyncio.sleep(0)
        if page.last_id > history.last_id:
            self.report_gap(room_id, page.last_id)

    def deliver_message(self, room_id: str, message: StoredMessage) -> None:
        history = self.histories[room_id]
        if message.id > history.last_id:
            self.report_gap(room_id, message.id - 1)
            history.add(message)
            self.send_event(room_id, self.all_tabs(room_id), message.event)

    def report_gap(self, room_id: str, last_id: int) -> None:
        """Send a gap for the messages up to this id that aren't here."""
        history = self.histories[room_id]
        if missed := last_id - history.last_id:
            self.send_event(room_id, self.all_tabs(room_id), gap(missed))
            history.last_id = last_id

    def apply_presence(self, room_id: str, presence: Presence, *, snapshot: bool) -> None:
        """Update the members of a room, and notify its tabs of the names that joined and left."""
        if room_id not in self.rooms:
            return
        room_presence = self.room_presences.setdefault(room_id, RoomPresence())
        if presence.version <= room_presence.version:
            return
        before = room_presence.members()
        room_presence.version = presence.version
        room_presence.names_by_process = (
            presence.names_by_process if snapshot else room_presence.names_by_process | presence.names_by_process
        )
        now = room_presence.members()
        for kind, names in (("left", before - now), ("joined", now - before)):
            for name in sorted(names):
                self.send(room_id, self.all_tabs(room_id, exclude=name), {"type": kind, "name": name})

    def send(self, room_id: str, tabs: Iterable[Tab], message: dict[str, Any]) -> None:
        self.send_event(room_id, tabs, encode(message))

    def send_event(self, room_id: str, tabs: Iterable[Tab], event: ASGIEvent) -> None:
        self.close(room_id, [tab for tab in tabs if not tab.try_put(event)], 1013, "too slow")

    def ping_tabs(self) -> None:
        """Disconnect the tabs that have sent nothing, and ping the others."""
        for room_id in list(self.rooms):
            silent = [tab for tab in self.all_tabs(room_id) if tab.unanswered_pings == MAX_UNANSWERED_PINGS]
            self.close(room_id, silent, 4408, "no sign of life")
            for tab in self.all_tabs(room_id):
                tab.unanswered_pings += 1
            self.send(room_id, self.all_tabs(room_id), {"type": "ping"})


def batches(room_ids: Iterable[str]) -> Iterator[list[str]]:
    """Return the rooms in lists of at most ROOMS_PER_CALL."""
    rooms = sorted(room_ids)
    return (rooms[start : start + ROOMS_PER_CALL] for start in range(0, len(rooms), ROOMS_PER_CALL))


# HTTPConnection is the base class of Request and WebSocket, so both kinds of routes can use this dependency.
async def get_manager(connection: HTTPConnection) -> ConnectionManager:
    manager: ConnectionManager = connection.state.manager
    return manager


ManagerDep = Annotated[ConnectionManager, Depends(get_manager)]
