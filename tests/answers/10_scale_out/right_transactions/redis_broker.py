"""Step 10: a broker for many processes, over Redis, with transactions instead of a script."""

import asyncio
import json
import random
from contextlib import AsyncExitStack

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import WatchError

from .broker import HistoryPage, Listener, StoredMessage
from .encoding import text_event
from .settings import DEDUP_WINDOW, HISTORY_SIZE
from .supervision import supervised

CHANNEL = "chat:room:"


def redis_keys(room_id: str, *kinds: str) -> list[str]:
    """Return the keys of a room. In a Redis cluster, the braces put them on one node, as a transaction requires."""
    return [f"chat:{{{room_id}}}:{kind}" for kind in kinds]


class RedisBroker:
    def __init__(self, url: str) -> None:
        # No retries: Redis may have run the transaction although its reply is lost.
        self.redis = Redis.from_url(url, decode_responses=True, retry=Retry(NoBackoff(), 0))
        self.exit_stack = AsyncExitStack()

    async def start(self, listener: Listener) -> None:
        self.listener = listener
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
        last, messages, keys = redis_keys(room_id, "last", "messages", "keys")
        dedup_key = json.dumps([sender, key])
        async with self.redis.pipeline() as transaction:
            while True:
                # Each message sets the last id, so this transaction fails if another one comes in between.
                await transaction.watch(last)
                if key and (known := await transaction.zscore(keys, dedup_key)):
                    return int(known)
                message_id = int(await transaction.get(last) or 0) + 1
                event = json.dumps({"type": "message", "id": message_id, "from": sender, "text": text})
                transaction.multi()
                transaction.set(last, message_id)
                # Redis assigns the id of the entry, so the message's own id is a field.
                transaction.xadd(messages, {"id": message_id, "event": event}, maxlen=HISTORY_SIZE, approximate=False)
                if key:
                    transaction.zadd(keys, {dedup_key: message_id})
                    transaction.zremrangebyrank(keys, 0, -1 - DEDUP_WINDOW)
                transaction.publish(CHANNEL + room_id, event)
                try:
                    await transaction.execute()
                    return message_id
                except WatchError as error:
                    # redis-py also raises it for a lost connection, and Redis may have run the transaction.
                    if "Watched variable changed" not in str(error):
                        raise
                    await asyncio.sleep(random.uniform(0, 0.005))

    async def read_history(self, room_id: str, after: int) -> HistoryPage:
        last, messages = redis_keys(room_id, "last", "messages")
        async with self.redis.pipeline() as pipeline:
            pipeline.get(last)
            pipeline.xrange(messages)
            last_id, entries = await pipeline.execute()
        stored = [StoredMessage(int(fields["id"]), text_event(fields["event"])) for _, fields in entries]
        return HistoryPage(int(last_id or 0), [message for message in stored if message.id > after])

    async def _listen(self, pubsub: PubSub) -> None:
        async for message in pubsub.listen():
            if message["type"] == "pmessage":
                await self._dispatch(message["channel"].removeprefix(CHANNEL), message["data"])

    async def _dispatch(self, room_id: str, text: str) -> None:
        message_id = json.loads(text)["id"]
        await self.listener.on_event(room_id, StoredMessage(message_id, text_event(text)))
        # Yield control to the writers: a burst from another process must not disconnect a tab that reads.
        await asyncio.sleep(0)
