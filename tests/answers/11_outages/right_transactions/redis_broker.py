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
from redis.exceptions import RedisError, WatchError

from . import scripts
from .broker import BrokerUnavailable, HistoryPage, Listener, Presence, StoredMessage
from .encoding import text_event
from .settings import DEDUP_WINDOW, HISTORY_SIZE, LEASE_RENEW_INTERVAL, LEASE_TTL
from .supervision import supervised

CHANNEL = "chat:room:"
LEASES_KEY = "chat:processes"


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
        self.expired_processes: list[str] = []
        self.connected = False
        self.grace_started = 0.0
        self.exit_stack = contextlib.AsyncExitStack()

        self._ensure_last_id_script = self.redis.register_script(scripts.ENSURE_LAST_ID)
        self._present = self.redis.register_script(scripts.UPDATE_PRESENCE)
        self._renew_lease_script = self.redis.register_script(scripts.RENEW_LEASE)

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
        # uvloop raises RuntimeError for a write to a connection that has been lost meanwhile.
        except (RedisError, OSError, RuntimeError) as error:
            raise BrokerUnavailable from error

    async def publish(self, room_id: str, sender: str, text: str, key: str) -> int:
        last, messages, known_keys = redis_keys(room_id, "last", "messages", "keys")
        dedup_key = json.dumps([sender, key])
        async with self._require_redis(), self.redis.pipeline() as transaction:
            while True:
                await transaction.watch(last)
                if key and (known := await transaction.zscore(known_keys, dedup_key)):
                    return int(known)
                last_id = int(await transaction.get(last) or 0)
                message_id = max(last_id, self.last_ids.get(room_id, 0)) + 1
                stored = json.dumps({"type": "message", "id": message_id, "from": sender, "text": text})
                transaction.multi()
                transaction.set(last, message_id)
                transaction.xadd(messages, {"id": message_id, "event": stored}, maxlen=HISTORY_SIZE, approximate=False)
                if key:
                    transaction.zadd(known_keys, {dedup_key: message_id})
                    transaction.zremrangebyrank(known_keys, 0, -1 - DEDUP_WINDOW)
                transaction.publish(CHANNEL + room_id, stored)
                try:
                    await transaction.execute()
                    return message_id
                except WatchError as error:
                    # redis-py raises it for a lost connection too, and then Redis may have run the transaction.
                    if "Watched variable changed" not in str(error):
                        raise
                    await asyncio.sleep(random.uniform(0, 0.005))

    async def read_history(self, room_id: str, after: int) -> HistoryPage:
        last, messages = redis_keys(room_id, "last", "messages")
        async with self._require_redis(), self.redis.pipeline() as pipeline:
            pipeline.get(last)
            pipeline.xrange(messages)
            last_id, entries = await pipeline.execute()
        self.last_ids[room_id] = max(int(last_id or 0), self.last_ids.get(room_id, 0))
        stored = [
            StoredMessage(int(fields["id"]), text_event(fields["event"]))
            for _, fields in entries
            if int(fields["id"]) > after
        ]
        return HistoryPage(int(last_id or 0), stored)

    async def update_presence(self, names_by_room: Mapping[str, list[str]]) -> dict[str, Presence]:
        for room_id, here in names_by_room.items():
            (self.rooms.add if here else self.rooms.discard)(room_id)
        return await self._members(self.process, names_by_room)

    async def get_presence(self, room_id: str) -> Presence:
        # No process has this name, so that nothing changes.
        return (await self._members("", {room_id: []}))[room_id]

    async def _members(self, process: str, names: Mapping[str, list[str]]) -> dict[str, Presence]:
        async with self._require_redis():
            presences = await self._run_presence_script([(room_id, process, here) for room_id, here in names.items()])
            expired = [
                (room_id, each, list[str]())
                for room_id, presence in presences.items()
                for each in presence.names_by_process.keys() & self.expired_processes
            ]
            return presences | await self._run_presence_script(expired)

    async def _run_presence_script(self, names_by_room: list[tuple[str, str, list[str]]]) -> dict[str, Presence]:
        """These are the names that some processes have in some rooms. The last answer for a room has all of it."""
        async with self.redis.pipeline(transaction=False) as pipeline:
            for room_id, process, here in names_by_room:
                await self._present(
                    redis_keys(room_id, "members", "version"),
                    [CHANNEL + room_id, process, json.dumps(here), 3600],
                    client=pipeline,
                )
            answers = await pipeline.execute()
        return {
            room_id: Presence(version, {flat[i]: json.loads(flat[i + 1]) for i in range(0, len(flat), 2)})
            for (room_id, _, _), (version, flat) in zip(names_by_room, answers, strict=True)
        }

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
        for script in (self._ensure_last_id_script, self._present, self._renew_lease_script):
            await self.redis.script_load(script.script)
        async with self.redis.pipeline(transaction=False) as pipeline:
            for room_id, last_id in self.last_ids.items():
                # Never assign an id twice.
                await self._ensure_last_id_script(redis_keys(room_id, "last"), [last_id], client=pipeline)
            await pipeline.execute()
        self._nobody_is_late()
        await self._renew_lease_script([LEASES_KEY], [self.process, LEASE_TTL])
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
        """Renew the lease of this process, and note whose lease has run out."""
        while True:
            await asyncio.sleep(LEASE_RENEW_INTERVAL)
            try:
                async with self._require_redis():
                    expired = await self._renew_lease_script([LEASES_KEY], [self.process, LEASE_TTL])
            except BrokerUnavailable:
                self._nobody_is_late()
            else:
                if asyncio.get_running_loop().time() > self.grace_started + LEASE_TTL / 2:
                    self.expired_processes = expired

    def _nobody_is_late(self) -> None:
        """The others are not late: like this process, they could not renew their leases."""
        self.expired_processes = []
        self.grace_started = asyncio.get_running_loop().time()

    async def _refresh_presence(self) -> None:
        while True:
            await asyncio.sleep(LEASE_RENEW_INTERVAL)
            with contextlib.suppress(BrokerUnavailable):
                await self.listener.refresh_presence()
