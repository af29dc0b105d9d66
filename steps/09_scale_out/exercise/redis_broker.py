"""Step 09, exercise: a broker for many processes, over Redis."""

import asyncio
import json
import logging
import secrets
from collections import Counter
from collections.abc import Mapping
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from .broker import HistoryPage, Listener, Presence, StoredMessage
from .encoding import text_event

# The starter code delivers messages to all processes as long as nothing fails, and does nothing else. broker.py has
# the contract of each method.
#
# TODO 1: publish() returns ids that rise by one in each room, at whichever process: INCR. Increment and publish in one
#         script, because two processes would otherwise publish in another order than their ids.
# 2 is done: each process has one subscription, for any number of rooms and members. Keep it.
# TODO 3: store messages in a stream for each room, trimmed to HISTORY_SIZE. read_history() returns the messages after
#         an id, and the last id.
# TODO 4: update_presence() and get_presence() return the names at all processes. If a process hasn't renewed its lease
#         for LEASE_TTL seconds, remove its names, and no others. scripts.py has two scripts for that.
# TODO 5: Redis may become unavailable, and recover empty. In an outage, every call raises BrokerUnavailable. After it,
#         call the listener's resync(), and continue the ids after the largest one that this process knows. An error
#         reply, such as OOM or READONLY, is an outage too.
# TODO 6: deduplicate at all processes: a message with the same key, sender and room gets the same id, and isn't sent
#         again. Keep the last DEDUP_WINDOW keys of a room.

logger = logging.getLogger(__name__)

CHANNEL = "chat:room:"


class RedisBroker:
    def __init__(self, url: str) -> None:
        self.redis = Redis.from_url(url, decode_responses=True)
        self.process = secrets.token_hex(8)
        self.last_ids: Counter[str] = Counter()
        self.names_by_room: dict[str, list[str]] = {}
        self.version = 0

    async def start(self, listener: Listener) -> None:
        self.listener = listener
        self.pubsub = self.redis.pubsub()
        await self.pubsub.psubscribe(f"{CHANNEL}*")
        self.listen_task = asyncio.create_task(self._listen())

    async def stop(self) -> None:
        self.listen_task.cancel()
        await self.pubsub.aclose()  # type: ignore[no-untyped-call]  # redis-py has no types for it.
        await self.redis.aclose()

    async def publish(self, room_id: str, sender: str, text: str, key: str) -> int:
        self.last_ids[room_id] += 1
        message = {"type": "message", "id": self.last_ids[room_id], "from": sender, "text": text}
        await self.publish_transient(room_id, message)
        return self.last_ids[room_id]

    async def read_history(self, room_id: str, after: int) -> HistoryPage:
        return HistoryPage(0, [])

    async def update_presence(self, names_by_room: Mapping[str, list[str]]) -> dict[str, Presence]:
        self.version += 1
        self.names_by_room.update(names_by_room)
        return {room_id: await self.get_presence(room_id) for room_id in names_by_room}

    async def get_presence(self, room_id: str) -> Presence:
        return Presence(self.version, {self.process: self.names_by_room.get(room_id, [])})

    async def publish_transient(self, room_id: str, event: dict[str, Any]) -> None:
        await self.redis.publish(CHANNEL + room_id, json.dumps(event))

    async def _listen(self) -> None:
        try:
            async for message in self.pubsub.listen():
                if message["type"] == "pmessage":
                    await self._dispatch(message["channel"].removeprefix(CHANNEL), message["data"])
        except (RedisError, OSError):
            pass  # The connection is lost, and this process gets no further events.
        except Exception:
            # No code awaits this task, so its error would be lost.
            logger.exception("An event from Redis can't be delivered")

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
