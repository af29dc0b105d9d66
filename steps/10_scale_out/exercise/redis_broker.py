"""Step 10, exercise: a broker for many processes, over Redis.

In the folder of the course:

Run it:    uvicorn exercise.main:app --app-dir steps/10_scale_out --reload
Judge it:  pytest --exercise 10

Your tasks are in this file, and in scripts.py. The rest is ready: broker.py has the interface of a broker, memory.py
has one for a single process, and manager.py uses it.
"""

import asyncio
import json
from collections import Counter
from contextlib import AsyncExitStack

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from . import scripts
from .broker import HistoryPage, Listener, StoredMessage
from .encoding import text_event
from .supervision import supervised

# The starter code delivers messages to all processes, and does nothing else. broker.py has the contract of each method.
#
# TODO 1: publish() returns ids that rise by one in each room, at whichever process: INCR. Increment and publish in one
#         script, because two processes would otherwise publish in another order than their ids.
# 2 is done: each process has one subscription, for any number of rooms and members. Keep it.
# TODO 3: store messages in a stream for each room, trimmed to HISTORY_SIZE. read_history() returns the messages after
#         an id, and the last id.
# TODO 4: deduplicate at all processes: a message with the same key, sender and room gets the same id, and isn't sent
#         again. Keep the last DEDUP_WINDOW keys of a room.

CHANNEL = "chat:room:"


def redis_keys(room_id: str, *kinds: str) -> list[str]:
    """Return the keys of a room. In a Redis cluster, the braces put them on one node, as a script requires."""
    return [f"chat:{{{room_id}}}:{kind}" for kind in kinds]


class RedisBroker:
    def __init__(self, url: str) -> None:
        # No retries: Redis may have run the script although its reply is lost.
        self.redis = Redis.from_url(url, decode_responses=True, retry=Retry(NoBackoff(), 0))
        self.exit_stack = AsyncExitStack()
        self.last_ids: Counter[str] = Counter()
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
        self.last_ids[room_id] += 1
        event = {"type": "message", "id": self.last_ids[room_id], "from": sender, "text": text}
        await self._publish_script([], [CHANNEL + room_id, json.dumps(event)])
        return self.last_ids[room_id]

    async def read_history(self, room_id: str, after: int) -> HistoryPage:
        return HistoryPage(0, [])

    async def _listen(self, pubsub: PubSub) -> None:
        async for message in pubsub.listen():
            if message["type"] == "pmessage":
                await self._dispatch(message["channel"].removeprefix(CHANNEL), message["data"])

    async def _dispatch(self, room_id: str, text: str) -> None:
        message_id = json.loads(text)["id"]
        await self.listener.on_event(room_id, StoredMessage(message_id, text_event(text)))
        # Yield control to the writers: a burst from another process must not disconnect a tab that reads.
        await asyncio.sleep(0)
