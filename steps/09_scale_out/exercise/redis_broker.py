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

from .broker import Listener, Page, Presence, Said
from .encoding import text_frame

# As shipped, this passes on what is said while everything goes well, and that is all. broker.py says what each method
# promises.
#
# TODO 1: publish() gives ids that rise by one in each room, whichever process is asked: INCR. The id, and that every
#         process hears the message, are one step, or two processes overtake each other: a script.
# 2 is done: one connection for each process listens, however many rooms and members there are. Keep it so.
# TODO 3: what is published is kept in a stream for each room, trimmed to KEPT_MESSAGES; read() gives what comes after
#         an id, and the last id.
# TODO 4: present() and members() know the names at all processes. A process that has not renewed its lease for
#         LEASE_TTL seconds loses its names, and no other does. scripts.py has the two scripts for that.
# TODO 5: Redis may go and come back, even empty: while it is away every call raises Away, when it is back the listener
#         is asked to resume(), and ids go on from the largest that this process has seen. An error reply, such as OOM
#         or READONLY, is an outage too.
# TODO 6: the same key of the same sender in the same room gives the same id and is not passed on again, whichever
#         process is asked. Keep the last KEPT_KEYS of a room.

logger = logging.getLogger(__name__)

CHANNEL = "chat:room:"


class RedisBroker:
    def __init__(self, url: str) -> None:
        self.redis = Redis.from_url(url, decode_responses=True)
        self.process = secrets.token_hex(8)
        self.last_ids: Counter[str] = Counter()
        self.names: dict[str, list[str]] = {}
        self.version = 0

    async def start(self, listener: Listener) -> None:
        self.listener = listener
        self.pubsub = self.redis.pubsub()
        await self.pubsub.psubscribe(f"{CHANNEL}*")
        self.listening = asyncio.create_task(self._listen())

    async def stop(self) -> None:
        self.listening.cancel()
        await self.pubsub.aclose()  # type: ignore[no-untyped-call]  # redis-py has no types for it.
        await self.redis.aclose()

    async def publish(self, room_id: str, sender: str, text: str, key: str) -> int:
        self.last_ids[room_id] += 1
        message = {"type": "message", "id": self.last_ids[room_id], "from": sender, "text": text}
        await self.send(room_id, message)
        return self.last_ids[room_id]

    async def read(self, room_id: str, after: int) -> Page:
        return Page(0, [])

    async def present(self, names: Mapping[str, list[str]]) -> dict[str, Presence]:
        self.version += 1
        self.names.update(names)
        return {room_id: await self.members(room_id) for room_id in names}

    async def members(self, room_id: str) -> Presence:
        return Presence(self.version, {self.process: self.names.get(room_id, [])})

    async def send(self, room_id: str, event: dict[str, Any]) -> None:
        await self.redis.publish(CHANNEL + room_id, json.dumps(event))

    async def _listen(self) -> None:
        try:
            async for event in self.pubsub.listen():
                if event["type"] == "pmessage":
                    await self._hear(event["channel"].removeprefix(CHANNEL), event["data"])
        except (RedisError, OSError):
            pass  # The connection is lost, and nothing is heard any more.
        except Exception:
            # Nobody awaits this task, so nobody else would say so.
            logger.exception("What came from Redis cannot be passed on")

    async def _hear(self, room_id: str, text: str) -> None:
        match json.loads(text):
            case {"type": "message", "id": message_id}:
                await self.listener.hear(room_id, Said(message_id, text_frame(text)))
            case {"type": "names", "version": version, "process": process, "names": names}:
                await self.listener.hear(room_id, Presence(version, {process: names}))
            case event:
                await self.listener.hear(room_id, event)
        # A burst from another process must not drop a tab that reads. Let the writers send in between.
        await asyncio.sleep(0)
