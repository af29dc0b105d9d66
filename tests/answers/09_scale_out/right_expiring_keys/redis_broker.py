"""Step 09, solution: a broker for many processes, over Redis."""

import asyncio
import contextlib
import json
import random
import secrets
from collections.abc import AsyncIterator, Mapping
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from . import scripts
from .broker import Away, Listener, Page, Presence, Said
from .encoding import text_frame
from .settings import KEPT_KEYS, KEPT_MESSAGES, LEASE_RENEW_INTERVAL, LEASE_TTL
from .supervision import supervised

CHANNEL = "chat:room:"


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
        self.is_there = False
        self.tasks = contextlib.AsyncExitStack()

        self._publish = self.redis.register_script(scripts.PUBLISH)
        self._raise = self.redis.register_script(scripts.RAISE)

    async def start(self, listener: Listener) -> None:
        self.listener = listener
        heard = asyncio.Event()
        for work in (self._listen(heard), self._renew_leases(), self._refresh()):
            await self.tasks.enter_async_context(supervised(work))
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
                [CHANNEL + room_id, known_by, message, KEPT_MESSAGES, KEPT_KEYS, self.last_ids.get(room_id, 0)],
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
        async with self._asking(), self.redis.pipeline(transaction=False) as writing:
            for room_id, here in names.items():
                mine, processes = self._names_key(room_id), keys(room_id, "processes")[0]
                writing.get(mine)
                if here:
                    writing.set(mine, json.dumps(here), ex=LEASE_TTL)
                else:
                    writing.delete(mine)
                writing.sadd(processes, self.process)
                writing.expire(processes, 3600)
            before = (await writing.execute())[::4]
            presences = await self._read_names(*names)
            for (room_id, here), known in zip(names.items(), before, strict=True):
                if json.loads(known or "[]") != here:
                    # Only a hint: a process that has an older version reads the names.
                    hint = {"type": "names", "version": presences[room_id].version, "process": "", "names": []}
                    writing.publish(CHANNEL + room_id, json.dumps(hint))
            await writing.execute()
        return presences

    async def members(self, room_id: str) -> Presence:
        async with self._asking():
            return (await self._read_names(room_id))[room_id]

    def _names_key(self, room_id: str, process: str = "") -> str:
        return keys(room_id, f"names:{process or self.process}")[0]

    async def _read_names(self, *room_ids: str) -> dict[str, Presence]:
        async with self.redis.pipeline(transaction=False) as reading:
            # The time first: whatever changes later is newer.
            reading.time()
            for room_id in room_ids:
                reading.smembers(keys(room_id, "processes")[0])
            (seconds, microseconds), *processes = await reading.execute()
            found = [(room_id, process) for room_id, some in zip(room_ids, processes, strict=True) for process in some]
            for room_id, process in found:
                reading.get(self._names_key(room_id, process))
            names = await reading.execute()
        presences = {room_id: Presence(int(seconds) * 1_000_000 + int(microseconds), {}) for room_id in room_ids}
        for (room_id, process), text in zip(found, names, strict=True):
            if text:
                presences[room_id].names[process] = json.loads(text)
        return presences

    async def send(self, room_id: str, event: dict[str, Any]) -> None:
        async with self._asking():
            await self.redis.publish(CHANNEL + room_id, json.dumps(event))

    async def _listen(self, heard: asyncio.Event) -> None:
        """Hear what happens in all rooms, and begin again whenever the connection is lost."""
        while True:
            try:
                async with self.redis.pubsub() as pubsub:
                    # One subscription for all rooms, and so one connection for this process.
                    await pubsub.psubscribe(f"{CHANNEL}*")
                    await self._next(pubsub)
                    await self._back()
                    heard.set()
                    while True:
                        event = await self._next(pubsub)
                        await self._hear(event["channel"].removeprefix(CHANNEL), event["data"])
            except (Away, RedisError, OSError):
                self.is_there = False
                # The other connections may be lost too, without a close.
                await self.redis.connection_pool.disconnect()
            # Not all processes in the same moment.
            await asyncio.sleep(random.uniform(0.05, 0.2))

    async def _next(self, pubsub: PubSub) -> dict[str, Any]:
        asked = False
        while True:
            event: dict[str, Any] | None = await pubsub.get_message(timeout=LEASE_RENEW_INTERVAL)
            if event and event["type"] in ("psubscribe", "pmessage"):
                return event
            # A connection can end without a word. Whoever only listens has to ask.
            if event is None:
                if asked:
                    raise Away
                await pubsub.ping()
            asked = event is None

    async def _back(self) -> None:
        """Redis is there again, perhaps without what it knew. What was missed meanwhile has to be found out."""
        for script in (self._publish, self._raise):
            await self.redis.script_load(script.script)
        async with self.redis.pipeline(transaction=False) as all_rooms:
            for room_id, last_id in self.last_ids.items():
                # Ids that were given once are not given again.
                await self._raise(keys(room_id, "last"), [last_id], client=all_rooms)
            await all_rooms.execute()
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
        """Let the names of this process live on. What has expired, _refresh() writes again."""
        while True:
            await asyncio.sleep(LEASE_RENEW_INTERVAL)
            with contextlib.suppress(Away):
                async with self._asking(), self.redis.pipeline(transaction=False) as all_rooms:
                    for room_id in self.rooms:
                        all_rooms.expire(self._names_key(room_id), LEASE_TTL)
                    await all_rooms.execute()

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(LEASE_RENEW_INTERVAL)
            with contextlib.suppress(Away):
                await self.listener.tell_all()
