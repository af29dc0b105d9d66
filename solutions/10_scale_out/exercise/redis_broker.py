"""Step 10, solution: a broker for many processes, over Redis."""

import asyncio
import json
from contextlib import AsyncExitStack

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from . import scripts
from .broker import HistoryPage, Listener, StoredMessage
from .encoding import text_event
from .settings import DEDUP_WINDOW, HISTORY_SIZE
from .supervision import supervised

CHANNEL = "chat:room:"


def redis_keys(room_id: str, *kinds: str) -> list[str]:
    """Return the keys of a room. In a Redis cluster, the braces put them on one node, as a script requires."""
    return [f"chat:{{{room_id}}}:{kind}" for kind in kinds]


class RedisBroker:
    def __init__(self, url: str) -> None:
        # No retries: Redis may have run the script although its reply is lost.
        self.redis = Redis.from_url(url, decode_responses=True, retry=Retry(NoBackoff(), 0))
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

    async def _listen(self, pubsub: PubSub) -> None:
        async for message in pubsub.listen():
            if message["type"] == "pmessage":
                await self._dispatch(message["channel"].removeprefix(CHANNEL), message["data"])

    async def _dispatch(self, room_id: str, text: str) -> None:
        message_id = json.loads(text)["id"]
        await self.listener.on_event(room_id, StoredMessage(message_id, text_event(text)))
        # Yield control to the writers: a burst from another process must not disconnect a tab that reads.
        await asyncio.sleep(0)
