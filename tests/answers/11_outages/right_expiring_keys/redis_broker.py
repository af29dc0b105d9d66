"""Step 11: a broker for many processes, over Redis."""

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
from .broker import BrokerUnavailable, HistoryPage, Listener, Presence, StoredMessage
from .encoding import text_event
from .settings import DEDUP_WINDOW, HISTORY_SIZE, LEASE_RENEW_INTERVAL, LEASE_TTL
from .supervision import supervised

CHANNEL = "chat:room:"
LEASE = "chat:lease:"


def redis_keys(room_id: str, *kinds: str) -> list[str]:
    """Return the keys of a room. In a Redis cluster, the braces put them on one node, as a script requires."""
    return [f"chat:{{{room_id}}}:{kind}" for kind in kinds]


class RedisBroker:
    def __init__(self, url: str) -> None:
        # No retries: the caller decides whether a command may be repeated.
        self.redis = Redis.from_url(
            url, decode_responses=True, socket_timeout=3, socket_connect_timeout=1, retry=Retry(NoBackoff(), 0)
        )
        self.process = secrets.token_hex(8)
        self.last_ids: dict[str, int] = {}
        self.rooms: set[str] = set()
        self.connected = False
        self.grace_started = 0.0
        self.exit_stack = contextlib.AsyncExitStack()

        self._publish_script = self.redis.register_script(scripts.PUBLISH)
        self._ensure_last_id_script = self.redis.register_script(scripts.ENSURE_LAST_ID)

    async def start(self, listener: Listener) -> None:
        self.listener = listener
        subscribed = asyncio.Event()
        for work in (self._listen(subscribed), self._renew_leases(), self._refresh_presence()):
            await self.exit_stack.enter_async_context(supervised(work))
        with contextlib.suppress(TimeoutError):
            # A process that starts in an outage runs too, and answers 503 until Redis is available.
            async with asyncio.timeout(2):
                await subscribed.wait()

    async def stop(self) -> None:
        await self.exit_stack.aclose()
        with contextlib.suppress(BrokerUnavailable):
            await self.update_presence({room_id: [] for room_id in self.rooms})
        await self.redis.aclose()

    @contextlib.asynccontextmanager
    async def _require_redis(self) -> AsyncIterator[None]:
        # Not before _on_connected() has restored the ids: an id could be assigned twice.
        if not self.connected:
            raise BrokerUnavailable
        try:
            yield
        except (RedisError, OSError, RuntimeError) as error:  # RuntimeError: uvloop, if the connection was just lost
            raise BrokerUnavailable from error

    async def publish(self, room_id: str, sender: str, text: str, key: str) -> int:
        message = json.dumps({"from": sender, "text": text}, separators=(",", ":"), ensure_ascii=False)
        dedup_key = json.dumps([sender, key]) if key else ""
        async with self._require_redis():
            message_id = await self._publish_script(
                redis_keys(room_id, "last", "messages", "keys"),
                [CHANNEL + room_id, dedup_key, message, HISTORY_SIZE, DEDUP_WINDOW, self.last_ids.get(room_id, 0)],
            )
        return int(message_id)

    async def read_history(self, room_id: str, after: int) -> HistoryPage:
        last, messages = redis_keys(room_id, "last", "messages")
        async with self._require_redis(), self.redis.pipeline() as pipeline:
            pipeline.get(last)
            pipeline.xrange(messages, f"{after + 1}-0", "+")
            last_id, entries = await pipeline.execute()
        self.last_ids[room_id] = max(int(last_id or 0), self.last_ids.get(room_id, 0))
        stored = [StoredMessage(int(entry.partition("-")[0]), text_event(fields["event"])) for entry, fields in entries]
        return HistoryPage(int(last_id or 0), stored)

    async def update_presence(self, names_by_room: Mapping[str, list[str]]) -> dict[str, Presence]:
        for room_id, here in names_by_room.items():
            (self.rooms.add if here else self.rooms.discard)(room_id)
        async with self._require_redis(), self.redis.pipeline(transaction=False) as writing:
            for room_id, here in names_by_room.items():
                mine, processes = self._names_key(room_id), redis_keys(room_id, "processes")[0]
                writing.get(mine)
                if here:
                    writing.set(mine, json.dumps(here), ex=3600)
                else:
                    writing.delete(mine)
                writing.sadd(processes, self.process)
                writing.expire(processes, 3600)
            before = (await writing.execute())[::4]
            presences = await self._read_names(*names_by_room)
            for (room_id, here), known in zip(names_by_room.items(), before, strict=True):
                if json.loads(known or "[]") != here:
                    # Only a hint: a process that has an older version reads the names.
                    hint = {"type": "names", "version": presences[room_id].version, "process": "", "names": []}
                    writing.publish(CHANNEL + room_id, json.dumps(hint))
            await writing.execute()
        return presences

    async def get_presence(self, room_id: str) -> Presence:
        async with self._require_redis():
            return (await self._read_names(room_id))[room_id]

    def _names_key(self, room_id: str, process: str = "") -> str:
        return redis_keys(room_id, f"names:{process or self.process}")[0]

    async def _read_names(self, *room_ids: str) -> dict[str, Presence]:
        async with self.redis.pipeline(transaction=False) as reading:
            # The time first: whatever changes later is newer.
            reading.time()
            for room_id in room_ids:
                reading.smembers(redis_keys(room_id, "processes")[0])
            (seconds, microseconds), *processes = await reading.execute()
            found = [(room_id, process) for room_id, some in zip(room_ids, processes, strict=True) for process in some]
            for room_id, process in found:
                reading.get(self._names_key(room_id, process))
                reading.exists(LEASE + process)
            names = await reading.execute()
        in_grace = asyncio.get_running_loop().time() < self.grace_started + LEASE_TTL / 2
        presences = {room_id: Presence(int(seconds) * 1_000_000 + int(microseconds), {}) for room_id in room_ids}
        for (room_id, process), text, has_lease in zip(found, names[::2], names[1::2], strict=True):
            if text and (has_lease or in_grace or process == self.process):
                presences[room_id].names_by_process[process] = json.loads(text)
        return presences

    async def publish_transient(self, room_id: str, event: dict[str, Any]) -> None:
        async with self._require_redis():
            await self.redis.publish(CHANNEL + room_id, json.dumps(event))

    async def _listen(self, subscribed: asyncio.Event) -> None:
        """Receive the events of all rooms, and resubscribe when the connection is lost."""
        while True:
            try:
                async with self.redis.pubsub() as pubsub:
                    # One subscription for all rooms, so this process needs one connection for it.
                    await pubsub.psubscribe(f"{CHANNEL}*")
                    await self._next_message(pubsub)
                    await self._on_connected()
                    subscribed.set()
                    while True:
                        message = await self._next_message(pubsub)
                        await self._dispatch(message["channel"].removeprefix(CHANNEL), message["data"])
            except (BrokerUnavailable, RedisError, OSError, RuntimeError):
                self.connected = False
                # The other connections may be lost too, without a close.
                await self.redis.connection_pool.disconnect(inuse_connections=False)
            # Jitter: the processes must not reconnect at the same time.
            await asyncio.sleep(random.uniform(0.05, 0.2))

    async def _next_message(self, pubsub: PubSub) -> dict[str, Any]:
        pinged = False
        while True:
            message: dict[str, Any] | None = await pubsub.get_message(timeout=LEASE_RENEW_INTERVAL)
            if message and message["type"] in ("psubscribe", "pmessage"):
                return message
            # A half-open connection raises no error, and a subscriber only receives: send a ping.
            if message is None:
                if pinged:
                    raise BrokerUnavailable
                await pubsub.ping()
            pinged = message is None

    async def _on_connected(self) -> None:
        """Restore the ids and the lease after a connect, because Redis may be empty, and resync."""
        for script in (self._publish_script, self._ensure_last_id_script):
            await self.redis.script_load(script.script)
        async with self.redis.pipeline(transaction=False) as pipeline:
            for room_id, last_id in self.last_ids.items():
                # Never assign an id twice.
                await self._ensure_last_id_script(redis_keys(room_id, "last"), [last_id], client=pipeline)
            await pipeline.execute()
        self.grace_started = asyncio.get_running_loop().time()
        await self.redis.set(LEASE + self.process, 1, ex=LEASE_TTL)
        self.connected = True
        await self.listener.resync()

    async def _dispatch(self, room_id: str, text: str) -> None:
        match json.loads(text):
            case {"type": "message", "id": message_id}:
                self.last_ids[room_id] = max(message_id, self.last_ids.get(room_id, 0))
                await self.listener.on_event(room_id, StoredMessage(message_id, text_event(text)))
            case {"type": "names", "version": version, "process": process, "names": names}:
                await self.listener.on_event(room_id, Presence(version, {process: names}))
            case event:
                await self.listener.on_event(room_id, event)
        # Yield control to the writers: a burst from another process must not disconnect a tab that reads.
        await asyncio.sleep(0)

    async def _renew_leases(self) -> None:
        """Renew the lease of this process. The names of a process without a lease aren't read."""
        while True:
            await asyncio.sleep(LEASE_RENEW_INTERVAL)
            try:
                async with self._require_redis():
                    await self.redis.set(LEASE + self.process, 1, ex=LEASE_TTL)
            except BrokerUnavailable:
                self.grace_started = asyncio.get_running_loop().time()

    async def _refresh_presence(self) -> None:
        while True:
            await asyncio.sleep(LEASE_RENEW_INTERVAL)
            with contextlib.suppress(BrokerUnavailable):
                await self.listener.refresh_presence()
