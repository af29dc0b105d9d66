"""Step 11, exercise: a broker for many processes, over Redis.

In the folder of the course:

Run it:    uvicorn exercise.main:app --app-dir steps/11_outages --reload
Judge it:  pytest --exercise 11

Your tasks are in this file, and in scripts.py. The rest is ready: broker.py has the interface of a broker, memory.py
has one for a single process, and manager.py uses it.
"""

import asyncio
import json
import secrets
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from . import scripts
from .broker import HistoryPage, Listener, Presence, StoredMessage
from .encoding import text_event
from .settings import DEDUP_WINDOW, HISTORY_SIZE
from .supervision import supervised

# The starter code is the solution of step 10, with the presence of each process in its memory. broker.py has the
# contract of each method.
#
# 1 is done: messages are in one order at all processes, the history is in Redis, and duplicates are detected. Keep it.
# TODO 2: update_presence() and get_presence() return the names at all processes: UPDATE_PRESENCE.
# TODO 3: renew a lease every LEASE_RENEW_INTERVAL, and send the names of this process again, in two tasks. If a process
#         hasn't renewed its lease for LEASE_TTL seconds, remove its names, and no others: RENEW_LEASE.
# TODO 4: Redis may become unavailable. In an outage, every call raises BrokerUnavailable, and the process goes on: it
#         subscribes again until Redis is available. An error reply, such as OOM or READONLY, is an outage too.
# TODO 5: after an outage, call the listener's resync(), which reads what was missed, and expire no lease that its
#         process couldn't renew. Redis may recover empty: continue the ids after the largest one that this process
#         knows. A connection may also be lost without an error: send a ping when nothing arrives.

CHANNEL = "chat:room:"


def redis_keys(room_id: str, *kinds: str) -> list[str]:
    """Return the keys of a room. In a Redis cluster, the braces put them on one node, as a script requires."""
    return [f"chat:{{{room_id}}}:{kind}" for kind in kinds]


class RedisBroker:
    def __init__(self, url: str) -> None:
        # No retries: Redis may have run the script although its reply is lost.
        self.redis = Redis.from_url(url, decode_responses=True, retry=Retry(NoBackoff(), 0))
        self.process = secrets.token_hex(8)
        self.names_by_room: dict[str, list[str]] = {}
        self.version = 0
        self.exit_stack = AsyncExitStack()
        self._publish_script = self.redis.register_script(scripts.PUBLISH)

    async def start(self, listener: Listener) -> None:
        self.listener = listener
        await self.redis.script_load(scripts.PUBLISH)
        pubsub = await self.exit_stack.enter_async_context(self.redis.pubsub())
        # One subscription for all rooms, so this process needs one connection for it.
        await pubsub.psubscribe(f"{CHANNEL}*")
        await pubsub.get_message(timeout=None)  # Redis confirms the subscription.
        # If the subscription ends, the server does too: without it, a process would look alive.
        await self.exit_stack.enter_async_context(supervised(self._listen(pubsub)))

    async def stop(self) -> None:
        await self.exit_stack.aclose()
        await self.redis.aclose()

    async def publish(self, room_id: str, sender: str, text: str, key: str) -> int:
        message = json.dumps({"from": sender, "text": text}, separators=(",", ":"), ensure_ascii=False)
        dedup_key = json.dumps([sender, key]) if key else ""
        message_id = await self._publish_script(
            redis_keys(room_id, "last", "messages", "keys"),
            [CHANNEL + room_id, dedup_key, message, HISTORY_SIZE, DEDUP_WINDOW],
        )
        return int(message_id)

    async def read_history(self, room_id: str, after: int) -> HistoryPage:
        last, messages = redis_keys(room_id, "last", "messages")
        async with self.redis.pipeline() as pipeline:
            pipeline.get(last)
            pipeline.xrange(messages, f"{after + 1}-0", "+")
            last_id, entries = await pipeline.execute()
        stored = [StoredMessage(int(entry.partition("-")[0]), text_event(fields["event"])) for entry, fields in entries]
        return HistoryPage(int(last_id or 0), stored)

    async def update_presence(self, names_by_room: Mapping[str, list[str]]) -> dict[str, Presence]:
        self.version += 1
        self.names_by_room.update(names_by_room)
        return {room_id: await self.get_presence(room_id) for room_id in names_by_room}

    async def get_presence(self, room_id: str) -> Presence:
        return Presence(self.version, {self.process: self.names_by_room.get(room_id, [])})

    async def publish_transient(self, room_id: str, event: dict[str, Any]) -> None:
        await self.redis.publish(CHANNEL + room_id, json.dumps(event))

    async def _listen(self, pubsub: PubSub) -> None:
        async for message in pubsub.listen():
            if message["type"] == "pmessage":
                await self._dispatch(message["channel"].removeprefix(CHANNEL), message["data"])

    async def _dispatch(self, room_id: str, text: str) -> None:
        match json.loads(text):
            case {"type": "message", "id": message_id}:
                await self.listener.on_event(room_id, StoredMessage(message_id, text_event(text)))
            case {"type": "names", "version": version, "process": process, "names": names}:
                await self.listener.on_event(room_id, Presence(version, {process: names}))
            case event:
                await self.listener.on_event(room_id, event)
        # Yield control to the writers: a burst from another process must not disconnect a tab that reads.
        await asyncio.sleep(0)
