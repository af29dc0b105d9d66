"""Step 09, solution: a broker for many processes, over Redis."""

import asyncio
import contextlib
import json
import random
import secrets
from collections.abc import AsyncIterator, Mapping
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from . import scripts
from .broker import Away, Listener, Page, Presence, Said
from .encoding import text_frame
from .settings import KEPT_KEYS, KEPT_MESSAGES, LEASE_RENEW_INTERVAL, LEASE_TTL
from .supervision import supervised

CHANNEL = "chat:room:"
PROCESSES = "chat:processes"
EVENTS = "chat:events"


def keys(room_id: str, *kinds: str) -> list[str]:
    """The keys of a room. In a cluster the braces put them all on one machine, as a script needs them."""
    return [f"chat:{{{room_id}}}:{kind}" for kind in kinds]


class RedisBroker:
    def __init__(self, url: str) -> None:
        # No second try behind our back: whether it may be tried again, the caller must decide.
        self.redis = Redis.from_url(
            url, decode_responses=True, socket_timeout=3, socket_connect_timeout=1, retry=Retry(NoBackoff(), 0)
        )
        self.process = secrets.token_hex(8)
        self.last_ids: dict[str, int] = {}
        self.rooms: set[str] = set()
        self.late: list[str] = []
        self.is_there = False
        self.back_since = 0.0
        self.tasks = contextlib.AsyncExitStack()

        self._publish = self.redis.register_script(scripts.PUBLISH)
        self._raise = self.redis.register_script(scripts.RAISE)
        self._present = self.redis.register_script(scripts.PRESENT)
        self._renew = self.redis.register_script(scripts.RENEW)

    async def start(self, listener: Listener) -> None:
        self.listener = listener
        heard = asyncio.Event()
        await self.tasks.enter_async_context(supervised(self._work(heard)))
        with contextlib.suppress(TimeoutError):
            # A process that starts while Redis is away serves all the same: 503, until it is there.
            async with asyncio.timeout(2):
                await heard.wait()

    async def stop(self) -> None:
        await self.tasks.aclose()
        with contextlib.suppress(Away):
            await self.present({room_id: [] for room_id in self.rooms})
        await self.redis.aclose()

    @contextlib.asynccontextmanager
    async def _asking(self) -> AsyncIterator[None]:
        # After Redis was away, nothing is asked before the ids go on where they were: see _back().
        if not self.is_there:
            raise Away
        try:
            yield
        except (RedisError, OSError) as error:
            raise Away from error

    async def publish(self, room_id: str, sender: str, text: str, key: str) -> int:
        message = json.dumps({"from": sender, "text": text}, separators=(",", ":"), ensure_ascii=False)
        known_by = json.dumps([sender, key]) if key else ""
        async with self._asking():
            message_id = await self._publish(
                keys(room_id, "last", "messages", "keys"),
                [CHANNEL + room_id, known_by, message, KEPT_MESSAGES, KEPT_KEYS],
            )
        return int(message_id)

    async def read(self, room_id: str, after: int) -> Page:
        last, messages = keys(room_id, "last", "messages")
        async with self._asking(), self.redis.pipeline() as both:
            both.get(last)
            both.xrange(messages, f"{after + 1}-0", "+")
            last_id, entries = await both.execute()
        said = [Said(int(entry.partition("-")[0]), text_frame(fields["said"])) for entry, fields in entries]
        return Page(int(last_id or 0), said)

    async def present(self, names: Mapping[str, list[str]]) -> dict[str, Presence]:
        for room_id, here in names.items():
            (self.rooms.add if here else self.rooms.discard)(room_id)
        return await self._members(self.process, names)

    async def members(self, room_id: str) -> Presence:
        # No process has this name, so that nothing changes.
        return (await self._members("", {room_id: []}))[room_id]

    async def _members(self, process: str, names: Mapping[str, list[str]]) -> dict[str, Presence]:
        async with self._asking():
            presences = await self._has([(room_id, process, here) for room_id, here in names.items()])
            late = [
                (room_id, each, list[str]())
                for room_id, presence in presences.items()
                for each in presence.names.keys() & self.late
            ]
            return presences | await self._has(late)

    async def _has(self, names: list[tuple[str, str, list[str]]]) -> dict[str, Presence]:
        """These are the names that some processes have in some rooms. The last answer for a room has all of it."""
        async with self.redis.pipeline(transaction=False) as all_rooms:
            for room_id, process, here in names:
                await self._present(
                    keys(room_id, "members", "version"),
                    [CHANNEL + room_id, process, json.dumps(here), 3600],
                    client=all_rooms,
                )
            answers = await all_rooms.execute()
        return {
            room_id: Presence(version, {flat[i]: json.loads(flat[i + 1]) for i in range(0, len(flat), 2)})
            for (room_id, _, _), (version, flat) in zip(names, answers, strict=True)
        }

    async def send(self, room_id: str, event: dict[str, Any]) -> None:
        async with self._asking():
            entry = {"channel": CHANNEL + room_id, "data": json.dumps(event)}
            await self.redis.xadd(EVENTS, entry, maxlen=10_000)

    async def _work(self, heard: asyncio.Event) -> None:
        """All that goes on in the background. If a part of it fails, the group ends, and with it the process."""
        async with asyncio.TaskGroup() as group:
            for work in (self._listen(heard), self._renew_leases(), self._refresh()):
                group.create_task(work)

    async def _listen(self, heard: asyncio.Event) -> None:
        """Read what happens in all rooms, and begin again whenever the connection is lost."""
        while True:
            try:
                newest = await self.redis.xrevrange(EVENTS, count=1)
                last = newest[0][0] if newest else "0-0"
                await self._back()
                heard.set()
                while True:
                    # One protocol gives a dict of lists of pages, the other a list of pairs.
                    answer: Any = await self.redis.xread({EVENTS: last}, block=1000) or {}
                    pages = answer.values() if isinstance(answer, dict) else [[entries] for _, entries in answer]
                    for entry, event in (each for some in pages for page in some for each in page):
                        last = entry
                        await self._hear(event["channel"].removeprefix(CHANNEL), event["data"])
            except (Away, RedisError, OSError):
                self.is_there = False
                # The other connections may be lost too, without a close.
                await self.redis.connection_pool.disconnect()
            # Not all processes in the same moment.
            await asyncio.sleep(random.uniform(0.05, 0.2))

    async def _back(self) -> None:
        """Redis is there again, perhaps without what it knew. What was missed meanwhile has to be found out."""
        for script in (self._publish, self._raise, self._present, self._renew):
            await self.redis.script_load(script.script)
        async with self.redis.pipeline(transaction=False) as all_rooms:
            for room_id, last_id in self.last_ids.items():
                # Ids that were given once are not given again.
                await self._raise(keys(room_id, "last"), [last_id], client=all_rooms)
            await all_rooms.execute()
        self._nobody_is_late()
        await self._renew([PROCESSES], [self.process, LEASE_TTL])
        self.is_there = True
        await self.listener.resume()

    async def _hear(self, room_id: str, text: str) -> None:
        match json.loads(text):
            case {"type": "message", "id": message_id}:
                self.last_ids[room_id] = max(message_id, self.last_ids.get(room_id, 0))
                await self.listener.hear(room_id, Said(message_id, text_frame(text)))
            case {"type": "names", "version": version, "process": process, "names": names}:
                await self.listener.hear(room_id, Presence(version, {process: names}))
            case event:
                await self.listener.hear(room_id, event)
        # A burst from another process must not drop a tab that reads. Let the writers send in between.
        await asyncio.sleep(0)

    async def _renew_leases(self) -> None:
        """Renew the lease of this process, and note whose lease has run out."""
        while True:
            await asyncio.sleep(LEASE_RENEW_INTERVAL)
            try:
                async with self._asking():
                    late = await self._renew([PROCESSES], [self.process, LEASE_TTL])
            except Away:
                self._nobody_is_late()
            else:
                if asyncio.get_running_loop().time() > self.back_since + LEASE_TTL / 2:
                    self.late = late

    def _nobody_is_late(self) -> None:
        """The others are not late: like this process, they could not renew their leases."""
        self.late = []
        self.back_since = asyncio.get_running_loop().time()

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(LEASE_RENEW_INTERVAL)
            with contextlib.suppress(Away):
                await self.listener.tell_all()
