"""Step 11, solution: a broker for many processes, over Redis."""

import asyncio
import contextlib
import json
import logging
import random
import secrets
from collections.abc import AsyncIterator, Mapping
from typing import Any

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from . import scripts
from .broker import BrokerUnavailable, HistoryPage, Listener, Presence, StoredMessage
from .encoding import text_event
from .settings import DEDUP_WINDOW, HISTORY_SIZE, LEASE_RENEW_INTERVAL, LEASE_TTL
from .supervision import supervised

logger = logging.getLogger(__name__)

CHANNEL = "chat:room:"
LEASES_KEY = "chat:processes"
# An error reply is an outage too: Redis is out of memory, its disk is full, or it's a replica now. uvloop raises
# RuntimeError if a connection is lost right before a write.
OUTAGE_ERRORS = (exceptions.ConnectionError, exceptions.TimeoutError, exceptions.ResponseError, OSError, RuntimeError)


def redis_keys(room_id: str, *kinds: str) -> list[str]:
    """Return the keys of a room. In a Redis cluster, the braces put them on one node, as a script requires."""
    return [f"chat:{{{room_id}}}:{kind}" for kind in kinds]


class RedisBroker:
    def __init__(self, url: str) -> None:
        # No retries: the caller decides whether a command may be repeated.
        options: dict[str, Any] = {
            "decode_responses": True,
            "socket_timeout": 3,
            "socket_connect_timeout": 1,
            "retry": Retry(NoBackoff(), 0),
        }
        # All members that join after an outage share these connections.
        pool = BlockingConnectionPool.from_url(url, max_connections=32, timeout=10, **options)
        self.redis = Redis.from_pool(pool)
        # A separate pool, so the subscription and the lease don't wait for members.
        self.control_redis = Redis.from_url(url, **options)
        self.process = secrets.token_hex(8)
        self.last_ids: dict[str, int] = {}
        self.rooms: set[str] = set()
        self.expired_processes: list[str] = []
        self.connected = False
        self.grace_started = 0.0
        self.exit_stack = contextlib.AsyncExitStack()

        self._publish_script = self.redis.register_script(scripts.PUBLISH)
        self._ensure_last_id_script = self.control_redis.register_script(scripts.ENSURE_LAST_ID)
        self._renew_lease_script = self.control_redis.register_script(scripts.RENEW_LEASE)

    async def start(self, listener: Listener) -> None:
        self.listener = listener
        subscribed = asyncio.Event()
        for work in (self._listen(subscribed), self._renew_lease(), self._refresh_presence()):
            await self.exit_stack.enter_async_context(supervised(work))
        with contextlib.suppress(TimeoutError):
            # A process that starts in an outage runs too, and answers 503 until Redis is available.
            async with asyncio.timeout(2):
                await subscribed.wait()

    async def stop(self) -> None:
        try:
            await self.exit_stack.aclose()
            with contextlib.suppress(BrokerUnavailable):
                await self.update_presence({room_id: [] for room_id in self.rooms})
        finally:
            await self.redis.aclose()
            await self.control_redis.aclose()

    @contextlib.asynccontextmanager
    async def _require_redis(self) -> AsyncIterator[None]:
        # Not before _on_connected() has restored the ids: an id could be assigned twice.
        if not self.connected:
            raise BrokerUnavailable
        try:
            yield
        except OUTAGE_ERRORS as error:
            # Log the reason, because a bug in a script is an error reply too.
            logger.error("Redis can't be used: %s", error)
            raise BrokerUnavailable from error

    async def publish(self, room_id: str, sender: str, text: str, key: str) -> int:
        message = json.dumps({"from": sender, "text": text}, separators=(",", ":"), ensure_ascii=False)
        dedup_key = json.dumps([sender, key]) if key else ""
        async with self._require_redis():
            message_id = await self._publish_script(
                redis_keys(room_id, "last", "messages", "keys"),
                [CHANNEL + room_id, dedup_key, message, HISTORY_SIZE, DEDUP_WINDOW, self.last_ids.get(room_id, 0)],
            )
        self._note_last_id(room_id, int(message_id))
        return int(message_id)

    async def read_history(self, room_id: str, after: int) -> HistoryPage:
        last, messages = redis_keys(room_id, "last", "messages")
        async with self._require_redis(), self.redis.pipeline() as pipeline:
            pipeline.get(last)
            pipeline.xrange(messages, f"{after + 1}-0", "+")
            last_id, entries = await pipeline.execute()
        self._note_last_id(room_id, int(last_id or 0))
        stored = [StoredMessage(int(entry.partition("-")[0]), text_event(fields["event"])) for entry, fields in entries]
        return HistoryPage(int(last_id or 0), stored)

    async def update_presence(self, names_by_room: Mapping[str, list[str]]) -> dict[str, Presence]:
        for room_id, here in names_by_room.items():
            (self.rooms.add if here else self.rooms.discard)(room_id)
        return await self._set_names(self.process, names_by_room)

    async def get_presence(self, room_id: str) -> Presence:
        # No process has an empty name, so this changes nothing.
        return (await self._set_names("", {room_id: []}))[room_id]

    async def _set_names(self, process: str, names_by_room: Mapping[str, list[str]]) -> dict[str, Presence]:
        async with self._require_redis():
            presences = await self._run_presence_script(process, names_by_room)
            for expired in self.expired_processes:
                rooms = [room_id for room_id, presence in presences.items() if expired in presence.names_by_process]
                presences |= await self._run_presence_script(expired, dict.fromkeys(rooms, []))
            return presences

    async def _run_presence_script(self, process: str, names_by_room: Mapping[str, list[str]]) -> dict[str, Presence]:
        # One round trip for all rooms. A script of register_script() would need a second one in a pipeline.
        async with self.redis.pipeline(transaction=False) as pipeline:
            for room_id, here in names_by_room.items():
                members, version = redis_keys(room_id, "members", "version")
                pipeline.eval(
                    scripts.UPDATE_PRESENCE, 2, members, version, CHANNEL + room_id, process, json.dumps(here), 3600
                )
            answers = await pipeline.execute()
        return {
            room_id: Presence(version, {flat[i]: json.loads(flat[i + 1]) for i in range(0, len(flat), 2)})
            for room_id, (version, flat) in zip(names_by_room, answers, strict=True)
        }

    async def publish_transient(self, room_id: str, event: dict[str, Any]) -> None:
        async with self._require_redis():
            await self.redis.publish(CHANNEL + room_id, json.dumps(event))

    async def _listen(self, subscribed: asyncio.Event) -> None:
        """Receive the events of all rooms, and resubscribe when the connection is lost."""
        while True:
            try:
                async with self.control_redis.pubsub() as pubsub:
                    # One subscription for all rooms, so this process needs one connection for it.
                    await pubsub.psubscribe(f"{CHANNEL}*")
                    await self._next_message(pubsub)
                    await self._on_connected()
                    subscribed.set()
                    while True:
                        message = await self._next_message(pubsub)
                        await self._dispatch(message["channel"].removeprefix(CHANNEL), message["data"])
            except (BrokerUnavailable, *OUTAGE_ERRORS) as error:
                if self.connected:
                    logger.warning("The subscription has ended: %r", error)
                self.connected = False
            except Exception:
                # Any error: a process without a subscription would look alive.
                logger.exception("An event from Redis can't be delivered")
                self.connected = False
            # The idle connections may be lost too, for the same reason, without an error.
            with contextlib.suppress(*OUTAGE_ERRORS):
                for redis in (self.redis, self.control_redis):
                    await redis.connection_pool.disconnect(inuse_connections=False)
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
        for script in (self._publish_script, self._ensure_last_id_script, self._renew_lease_script):
            await self.control_redis.script_load(script.script)
        rooms = list(self.last_ids.items())
        for start in range(0, len(rooms), 1000):
            async with self.control_redis.pipeline(transaction=False) as pipeline:
                for room_id, last_id in rooms[start : start + 1000]:
                    # Never assign an id twice.
                    await self._ensure_last_id_script(redis_keys(room_id, "last"), [last_id], client=pipeline)
                await pipeline.execute()
        self._start_grace_period()
        await self._renew_lease_script([LEASES_KEY], [self.process, LEASE_TTL])
        self.connected = True
        await self.listener.resync()

    async def _dispatch(self, room_id: str, text: str) -> None:
        match json.loads(text):
            case {"type": "message", "id": message_id}:
                self._note_last_id(room_id, message_id)
                await self.listener.on_event(room_id, StoredMessage(message_id, text_event(text)))
            case {"type": "names", "version": version, "process": process, "names": names}:
                await self.listener.on_event(room_id, Presence(version, {process: names}))
            case event:
                await self.listener.on_event(room_id, event)
        # Yield control to the writers: a burst from another process must not disconnect a tab that reads.
        await asyncio.sleep(0)

    def _note_last_id(self, room_id: str, last_id: int) -> None:
        self.last_ids[room_id] = max(last_id, self.last_ids.get(room_id, 0))

    def _start_grace_period(self) -> None:
        """Expire no lease for LEASE_TTL / 2: the other processes couldn't renew theirs either."""
        self.expired_processes = []
        self.grace_started = asyncio.get_running_loop().time()

    async def _renew_lease(self) -> None:
        """Renew the lease of this process, and note the processes whose lease has expired."""
        while True:
            await asyncio.sleep(LEASE_RENEW_INTERVAL)
            try:
                async with self._require_redis():
                    expired = await self._renew_lease_script([LEASES_KEY], [self.process, LEASE_TTL])
            except BrokerUnavailable:
                self._start_grace_period()
            else:
                if asyncio.get_running_loop().time() > self.grace_started + LEASE_TTL / 2:
                    self.expired_processes = expired

    async def _refresh_presence(self) -> None:
        """Send the names of this process regularly, which also removes expired processes."""
        while True:
            # In a separate task: this may take long, and the lease must be renewed in time.
            await asyncio.sleep(LEASE_RENEW_INTERVAL)
            with contextlib.suppress(BrokerUnavailable):
                await self.listener.refresh_presence()
