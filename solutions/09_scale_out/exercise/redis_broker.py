"""Step 09, solution: a broker for many processes, over Redis."""

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
from .broker import Away, Listener, Page, Presence, Said
from .encoding import text_frame
from .settings import KEPT_KEYS, KEPT_MESSAGES, LEASE_RENEW_INTERVAL, LEASE_TTL
from .supervision import supervised

logger = logging.getLogger(__name__)

CHANNEL = "chat:room:"
PROCESSES = "chat:processes"
# An error reply is an outage too: Redis has no memory left, its disk is full, or it has become a replica.
OUTAGES = (exceptions.ConnectionError, exceptions.TimeoutError, exceptions.ResponseError, OSError)


def keys(room_id: str, *kinds: str) -> list[str]:
    """The keys of a room. In a cluster the braces put them all on one machine, as a script needs them."""
    return [f"chat:{{{room_id}}}:{kind}" for kind in kinds]


class RedisBroker:
    def __init__(self, url: str) -> None:
        # No second try behind our back: whether it may be tried again, the caller must decide.
        options: dict[str, Any] = {
            "decode_responses": True,
            "socket_timeout": 3,
            "socket_connect_timeout": 1,
            "retry": Retry(NoBackoff(), 0),
        }
        # However many members join after an outage, they share these connections, and wait for one.
        pool = BlockingConnectionPool.from_url(url, max_connections=32, timeout=10, **options)
        self.redis = Redis.from_pool(pool)
        # The subscription and the lease don't wait for members.
        self.own = Redis.from_url(url, **options)
        self.process = secrets.token_hex(8)
        self.last_ids: dict[str, int] = {}
        self.rooms: set[str] = set()
        self.late: list[str] = []
        self.is_there = False
        self.back_since = 0.0
        self.tasks = contextlib.AsyncExitStack()

        self._publish = self.redis.register_script(scripts.PUBLISH)
        self._raise = self.own.register_script(scripts.RAISE)
        self._renew = self.own.register_script(scripts.RENEW)

    async def start(self, listener: Listener) -> None:
        self.listener = listener
        heard = asyncio.Event()
        for work in (self._listen(heard), self._renew_lease(), self._refresh()):
            await self.tasks.enter_async_context(supervised(work))
        with contextlib.suppress(TimeoutError):
            # A process that starts while Redis is away serves all the same: 503, until it is there.
            async with asyncio.timeout(2):
                await heard.wait()

    async def stop(self) -> None:
        try:
            await self.tasks.aclose()
            with contextlib.suppress(Away):
                await self.present({room_id: [] for room_id in self.rooms})
        finally:
            await self.redis.aclose()
            await self.own.aclose()

    @contextlib.asynccontextmanager
    async def _asking(self) -> AsyncIterator[None]:
        # After Redis was away, nothing is asked before the ids go on where they were: see _back().
        if not self.is_there:
            raise Away
        try:
            yield
        except OUTAGES as error:
            # A mistake in a script is an error reply too, so the log has the reason.
            logger.error("Redis can't be used: %s", error)
            raise Away from error

    async def publish(self, room_id: str, sender: str, text: str, key: str) -> int:
        message = json.dumps({"from": sender, "text": text}, separators=(",", ":"), ensure_ascii=False)
        known_by = json.dumps([sender, key]) if key else ""
        async with self._asking():
            message_id = await self._publish(
                keys(room_id, "last", "messages", "keys"),
                [CHANNEL + room_id, known_by, message, KEPT_MESSAGES, KEPT_KEYS, self.last_ids.get(room_id, 0)],
            )
        self._know(room_id, int(message_id))
        return int(message_id)

    async def read(self, room_id: str, after: int) -> Page:
        last, messages = keys(room_id, "last", "messages")
        async with self._asking(), self.redis.pipeline() as both:
            both.get(last)
            both.xrange(messages, f"{after + 1}-0", "+")
            last_id, entries = await both.execute()
        self._know(room_id, int(last_id or 0))
        said = [Said(int(entry.partition("-")[0]), text_frame(fields["said"])) for entry, fields in entries]
        return Page(int(last_id or 0), said)

    async def present(self, names: Mapping[str, list[str]]) -> dict[str, Presence]:
        for room_id, here in names.items():
            (self.rooms.add if here else self.rooms.discard)(room_id)
        return await self._update(self.process, names)

    async def members(self, room_id: str) -> Presence:
        # No process has this name, so nothing changes.
        return (await self._update("", {room_id: []}))[room_id]

    async def _update(self, process: str, names: Mapping[str, list[str]]) -> dict[str, Presence]:
        async with self._asking():
            presences = await self._has(process, names)
            for late in self.late:
                rooms = [room_id for room_id, presence in presences.items() if late in presence.names]
                presences |= await self._has(late, dict.fromkeys(rooms, []))
            return presences

    async def _has(self, process: str, names: Mapping[str, list[str]]) -> dict[str, Presence]:
        # One round trip, however many rooms it is about. In a pipeline, a script of register_script() takes one more.
        async with self.redis.pipeline(transaction=False) as all_rooms:
            for room_id, here in names.items():
                members, version = keys(room_id, "members", "version")
                all_rooms.eval(scripts.PRESENT, 2, members, version, CHANNEL + room_id, process, json.dumps(here), 3600)
            answers = await all_rooms.execute()
        return {
            room_id: Presence(version, {flat[i]: json.loads(flat[i + 1]) for i in range(0, len(flat), 2)})
            for room_id, (version, flat) in zip(names, answers, strict=True)
        }

    async def send(self, room_id: str, event: dict[str, Any]) -> None:
        async with self._asking():
            await self.redis.publish(CHANNEL + room_id, json.dumps(event))

    async def _listen(self, heard: asyncio.Event) -> None:
        """Hear what happens in all rooms, and begin again whenever the connection is lost."""
        while True:
            try:
                async with self.own.pubsub() as pubsub:
                    # One subscription for all rooms, and so one connection for this process.
                    await pubsub.psubscribe(f"{CHANNEL}*")
                    await self._next(pubsub)
                    await self._back()
                    heard.set()
                    while True:
                        event = await self._next(pubsub)
                        await self._hear(event["channel"].removeprefix(CHANNEL), event["data"])
            except (Away, *OUTAGES) as error:
                if self.is_there:
                    logger.warning("The subscription has ended: %r", error)
                self.is_there = False
            except Exception:
                # Whatever it was: a process that hears nothing any more would look alive.
                logger.exception("What came from Redis cannot be passed on")
                self.is_there = False
            # What has ended the subscription may have ended the idle connections too, and nothing shows it.
            with contextlib.suppress(*OUTAGES):
                for redis in (self.redis, self.own):
                    await redis.connection_pool.disconnect(inuse_connections=False)
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
        for script in (self._publish, self._raise, self._renew):
            await self.own.script_load(script.script)
        rooms = list(self.last_ids.items())
        for start in range(0, len(rooms), 1000):
            async with self.own.pipeline(transaction=False) as some_rooms:
                for room_id, last_id in rooms[start : start + 1000]:
                    # Ids that were given once are not given again.
                    await self._raise(keys(room_id, "last"), [last_id], client=some_rooms)
                await some_rooms.execute()
        self._ignore_expired_leases()
        await self._renew([PROCESSES], [self.process, LEASE_TTL])
        self.is_there = True
        await self.listener.resume()

    async def _hear(self, room_id: str, text: str) -> None:
        match json.loads(text):
            case {"type": "message", "id": message_id}:
                self._know(room_id, message_id)
                await self.listener.hear(room_id, Said(message_id, text_frame(text)))
            case {"type": "names", "version": version, "process": process, "names": names}:
                await self.listener.hear(room_id, Presence(version, {process: names}))
            case event:
                await self.listener.hear(room_id, event)
        # A burst from another process must not drop a tab that reads. Let the writers send in between.
        await asyncio.sleep(0)

    def _know(self, room_id: str, last_id: int) -> None:
        self.last_ids[room_id] = max(last_id, self.last_ids.get(room_id, 0))

    def _ignore_expired_leases(self) -> None:
        """For half a lease, take no process off the lists: like this one, the others couldn't renew their leases."""
        self.late = []
        self.back_since = asyncio.get_running_loop().time()

    async def _renew_lease(self) -> None:
        """Renew the lease of this process, and note the processes whose lease has run out."""
        while True:
            await asyncio.sleep(LEASE_RENEW_INTERVAL)
            try:
                async with self._asking():
                    late = await self._renew([PROCESSES], [self.process, LEASE_TTL])
            except Away:
                self._ignore_expired_leases()
            else:
                if asyncio.get_running_loop().time() > self.back_since + LEASE_TTL / 2:
                    self.late = late

    async def _refresh(self) -> None:
        """Send the names of this process again, and so take the processes that are late off the lists."""
        while True:
            # In a task of its own: however long this takes, the lease must be renewed in time.
            await asyncio.sleep(LEASE_RENEW_INTERVAL)
            with contextlib.suppress(Away):
                await self.listener.tell_all()
