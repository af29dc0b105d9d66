"""Step 09, solution: who is where, and who is told what. What is heard is passed on without waiting: one order."""

import asyncio
import logging
import uuid
from collections.abc import Coroutine, Iterable, Iterator
from contextlib import AsyncExitStack
from typing import Annotated, Any
from weakref import WeakValueDictionary

from fastapi import Depends
from fastapi.requests import HTTPConnection
from starlette.types import Message

from .broker import Away, Broker, Presence, Said
from .encoding import encode
from .history import History, gap
from .settings import LEASE_TTL, MAX_UNANSWERED_PINGS
from .tab import Tab

logger = logging.getLogger(__name__)

ROOMS_AT_A_TIME = 100
"""Rooms that one call of the broker is about, so that a join never waits for all rooms of this process."""


class View:
    """Who is in a room, as its tabs here have been told."""

    def __init__(self) -> None:
        self.version = -1
        self.names: dict[str, list[str]] = {}

    def everybody(self) -> set[str]:
        return {name for names in self.names.values() for name in names}


class Removal:
    """A member that's being removed at all processes."""

    def __init__(self, processes: set[str]) -> None:
        self.processes = processes
        """Those that haven't confirmed it yet."""
        self.is_confirmed = asyncio.Event()

    def confirm(self, process: str) -> None:
        self.processes.discard(process)
        if not self.processes:
            self.is_confirmed.set()


class ConnectionManager:
    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.rooms: dict[str, dict[str, set[Tab]]] = {}
        """The tabs of this process."""
        self.histories: dict[str, History] = {}
        """A copy of what the broker keeps, for rooms that have had a tab here."""
        self.views: dict[str, View] = {}
        """For rooms that have a tab here."""
        self.telling: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """By room, as long as a call holds the lock or waits for it."""
        self.untold: set[str] = set()
        self.removals: dict[str, Removal] = {}
        self.tasks: set[asyncio.Task[None]] = set()

    def history(self, room_id: str) -> History:
        return self.histories.get(room_id, History())

    def names(self, room_id: str) -> set[str]:
        """Who is in a room that has a tab here."""
        return self.views[room_id].everybody() if room_id in self.views else set()

    def tabs(self, room_id: str, name: str) -> set[Tab]:
        return self.rooms.get(room_id, {}).get(name, set())

    def everybody(self, room_id: str, but: str | None = None) -> list[Tab]:
        """The tabs that have got their list. Before it, nothing is for them."""
        room = self.rooms.get(room_id, {})
        return [tab for name, tabs in room.items() if name != but for tab in tabs if tab.has_list]

    async def join(self, room_id: str, tab: Tab, after: int | None) -> None:
        self.rooms.setdefault(room_id, {}).setdefault(tab.name, set()).add(tab)
        await self.tell(room_id)
        if tab not in self.tabs(room_id, tab.name):
            return  # Removed before it had its list.
        members = encode({"type": "members", "names": sorted(self.names(room_id))})
        # What was before, here, and what comes next, from the room: with no await between, nothing is lost or doubled.
        tab.enqueue_replay([members, *(self.history(room_id).since(after) if after is not None else [])])
        tab.has_list = True

    def leave(self, room_id: str, *tabs: Tab) -> None:
        """Take these tabs out of the room, those that are in it."""
        gone = [tab for tab in tabs if tab in self.tabs(room_id, tab.name)]
        for tab in gone:
            self.tabs(room_id, tab.name).remove(tab)
            # A name with another tab here stays.
            if not self.tabs(room_id, tab.name):
                del self.rooms[room_id][tab.name]
        if not self.rooms.get(room_id, True):
            del self.rooms[room_id]
            self.views.pop(room_id, None)
        if gone:
            self.start(self.tell(room_id))

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run this in a task that ends by itself, and log an error in it."""
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        # After Away, the room is still in untold, so it's sent when the broker is there again.
        if error and not isinstance(error, Away):
            logger.error("A task of the manager has failed", exc_info=error)

    def close(self, room_id: str, tabs: Iterable[Tab], code: int, reason: str) -> None:
        tabs = list(tabs)
        for tab in tabs:
            tab.close(code, reason)
        self.leave(room_id, *tabs)

    async def tell(self, *room_ids: str) -> None:
        """Tell the broker who is here, and the tabs what that changes."""
        self.untold.update(room_ids)
        async with AsyncExitStack() as locked:
            # One call at a time for each room, so that the last one has the newest names. Sorted, so that no two calls
            # wait for each other.
            for room_id in sorted(room_ids):
                await locked.enter_async_context(self.telling.setdefault(room_id, asyncio.Lock()))
            # A call that had the lock before may have done it: of many members that join together, one is enough.
            due = self.untold.intersection(room_ids)
            self.untold -= due
            try:
                presences = await self.broker.present({room_id: sorted(self.rooms.get(room_id, {})) for room_id in due})
            except BaseException:
                self.untold |= due
                raise
            for room_id, presence in presences.items():
                self.see(room_id, presence, whole=True)

    async def tell_all(self) -> None:
        for some in batches(self.rooms.keys() | self.untold):
            await self.tell(*some)

    async def resume(self) -> None:
        # A room without a tab here is read when the next one joins.
        for some in batches(self.rooms):
            results = await asyncio.gather(*(self.fill(room_id) for room_id in some), return_exceptions=True)
            # Only now, so that none of them goes on behind the next resume().
            for error in filter(None, results):
                raise error
        for view in self.views.values():
            view.version = -1
        await self.tell_all()

    async def remove(self, room_id: str, name: str) -> bool:
        """Remove a member at all processes, and return whether it was in the room.

        Raises:
            Away: the broker can't be reached, or a process doesn't confirm it.
        """
        presence = await self.broker.members(room_id)
        removal = Removal({process for process, names in presence.names.items() if name in names})
        if not removal.processes:
            return False
        request = uuid.uuid4().hex
        self.removals[request] = removal
        try:
            await self.broker.send(room_id, {"type": "remove", "name": name, "request": request})
            # A process that was killed never confirms it. Its names are off the list when its lease has run out.
            async with asyncio.timeout(LEASE_TTL + 2):
                await removal.is_confirmed.wait()
        except TimeoutError:
            presence = await self.broker.members(room_id)
            if any(name in presence.names.get(process, ()) for process in removal.processes):
                raise Away from None
        finally:
            del self.removals[request]
        return True

    async def confirm(self, room_id: str, request: str) -> None:
        """Confirm that the removed tabs of this process are closed, and off the list."""
        await self.tell(room_id)
        await self.broker.send(room_id, {"type": "removed", "request": request, "process": self.broker.process})

    async def hear(self, room_id: str, event: Said | Presence | dict[str, Any]) -> None:
        match event:
            case Said():
                if room_id not in self.histories:
                    return
                if event.id > self.histories[room_id].last_id + 1:
                    await self.fill(room_id)
                self.pass_on(room_id, event)
            case Presence():
                view = self.views.get(room_id)
                if view and event.version > view.version + 1:
                    self.see(room_id, await self.broker.members(room_id), whole=True)
                elif view:
                    self.see(room_id, event, whole=False)
            case {"type": "direct", "from": sender, "to": to, "text": text}:
                tabs = [tab for tab in self.tabs(room_id, to) if tab.has_list]
                self.send(room_id, tabs, {"type": "direct", "from": sender, "text": text})
            case {"type": "remove", "name": name, "request": request}:
                self.close(room_id, self.tabs(room_id, name), 1008, "removed")
                # In a task, because the events of the other rooms must not wait for the broker.
                self.start(self.confirm(room_id, request))
            case {"type": "removed", "request": request, "process": process}:
                if removal := self.removals.get(request):
                    removal.confirm(process)

    async def fill(self, room_id: str) -> None:
        """Bring the copy of a room's history up to date, and its tabs."""
        history = self.histories.setdefault(room_id, History())
        page = await self.broker.read(room_id, history.last_id)
        for said in page.said:
            self.pass_on(room_id, said)
            # Many may have been missed. Let the writers send in between.
            await asyncio.sleep(0)
        if page.last_id > history.last_id:
            self.miss(room_id, page.last_id)

    def pass_on(self, room_id: str, said: Said) -> None:
        history = self.histories[room_id]
        if said.id > history.last_id:
            self.miss(room_id, said.id - 1)
            history.add(said)
            self.send_frame(room_id, self.everybody(room_id), said.frame)

    def miss(self, room_id: str, last_id: int) -> None:
        """The messages up to this one are lost, those that are not here yet."""
        history = self.histories[room_id]
        if missed := last_id - history.last_id:
            self.send_frame(room_id, self.everybody(room_id), gap(missed))
            history.last_id = last_id

    def see(self, room_id: str, presence: Presence, *, whole: bool) -> None:
        """Tell the tabs here whose first tab anywhere has come, and whose last one has gone."""
        if room_id not in self.rooms:
            return
        view = self.views.setdefault(room_id, View())
        if presence.version <= view.version:
            return
        before = view.everybody()
        view.version = presence.version
        view.names = presence.names if whole else view.names | presence.names
        now = view.everybody()
        for kind, names in (("left", before - now), ("joined", now - before)):
            for name in sorted(names):
                self.send(room_id, self.everybody(room_id, but=name), {"type": kind, "name": name})

    def send(self, room_id: str, tabs: Iterable[Tab], message: dict[str, Any]) -> None:
        self.send_frame(room_id, tabs, encode(message))

    def send_frame(self, room_id: str, tabs: Iterable[Tab], frame: Message) -> None:
        self.close(room_id, [tab for tab in tabs if not tab.try_put(frame)], 1013, "too slow")

    def beat(self) -> None:
        """Disconnect silent members, and ping the others."""
        for room_id in list(self.rooms):
            silent = [tab for tab in self.everybody(room_id) if tab.unanswered_pings == MAX_UNANSWERED_PINGS]
            self.close(room_id, silent, 4408, "no sign of life")
            for tab in self.everybody(room_id):
                tab.unanswered_pings += 1
            self.send(room_id, self.everybody(room_id), {"type": "ping"})


def batches(room_ids: Iterable[str]) -> Iterator[list[str]]:
    """Return these rooms in lists that one call of the broker can be about."""
    rooms = sorted(room_ids)
    return (rooms[start : start + ROOMS_AT_A_TIME] for start in range(0, len(rooms), ROOMS_AT_A_TIME))


# HTTPConnection is what a Request and a WebSocket have in common, so both kinds of routes can ask for the manager.
async def get_manager(connection: HTTPConnection) -> ConnectionManager:
    manager: ConnectionManager = connection.state.manager
    return manager


Manager = Annotated[ConnectionManager, Depends(get_manager)]
