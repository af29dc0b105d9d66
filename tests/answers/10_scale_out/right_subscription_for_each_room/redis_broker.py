"""Step 10: a broker for many processes, over Redis, with a subscription for each room."""

import asyncio
import json
from contextlib import AsyncExitStack

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from .broker import HistoryPage, Listener, StoredMessage
from .encoding import encode
from .scripts import PUBLISH
from .settings import DEDUP_WINDOW, HISTORY_SIZE
from .supervision import supervised

PREFIX = "chat:room:"
FIRST_CHANNEL = "chat:none"
"""The channel of a process without rooms: listen() ends if there's none. Nothing is published to it."""
SUBSCRIBE_TIMEOUT = 5
"""Seconds within which Redis must confirm a subscription."""


def stored_message(message_id: int, sender: str, text: str) -> StoredMessage:
    return StoredMessage(message_id, encode({"type": "message", "id": message_id, "from": sender, "text": text}))


class RedisBroker:
    def __init__(self, url: str) -> None:
        # No retries: Redis may have run the script although its reply is lost.
        self.redis = Redis.from_url(url, decode_responses=True, retry=Retry(NoBackoff(), 0))
        self.pubsub: PubSub = self.redis.pubsub()
        self.confirmed: dict[str, asyncio.Event] = {}
        """For the channel of each room that has had a tab here, whether Redis has confirmed the subscription."""
        self.exit_stack = AsyncExitStack()

    async def start(self, listener: Listener) -> None:
        self.listener = listener
        await self.exit_stack.enter_async_context(self.pubsub)
        await self.pubsub.subscribe(FIRST_CHANNEL)
        # If the subscriptions end, the server does too: without them, a process would look alive.
        await self.exit_stack.enter_async_context(supervised(self._listen()))

    async def stop(self) -> None:
        await self.exit_stack.aclose()
        await self.redis.aclose()

    async def publish(self, room_id: str, sender: str, text: str, key: str) -> int:
        dedup_key = json.dumps([sender, key]) if key else ""
        keys = [f"chat:{kind}:{{{room_id}}}" for kind in ("messages", "ids", "order")]
        arguments = [PREFIX + room_id, sender, text, dedup_key, HISTORY_SIZE, DEDUP_WINDOW]
        # EVAL sends the whole script each time, so this works even if Redis has lost its scripts.
        return int(await self.redis.eval(PUBLISH, len(keys), *keys, *arguments))

    async def read_history(self, room_id: str, after: int) -> HistoryPage:
        # The manager reads a room's history when the first tab joins. Subscribe before that, so no message is missed.
        await self._subscribe(PREFIX + room_id)
        # With the message `after` itself, so the last entry has the room's last id.
        entries = await self.redis.xrange(f"chat:messages:{{{room_id}}}", f"0-{after}", "+")
        messages = [
            stored_message(int(entry.partition("-")[2]), fields["sender"], fields["text"]) for entry, fields in entries
        ]
        return HistoryPage(messages[-1].id if messages else 0, [message for message in messages if message.id > after])

    async def _subscribe(self, channel: str) -> None:
        """Subscribe this process to a channel, on the connection that all its subscriptions share."""
        confirmed = self.confirmed.setdefault(channel, asyncio.Event())
        if not confirmed.is_set():
            # If two members join at the same time, both subscribe, which Redis counts once.
            await self.pubsub.subscribe(channel)
            async with asyncio.timeout(SUBSCRIBE_TIMEOUT):
                await confirmed.wait()

    async def _listen(self) -> None:
        async for event in self.pubsub.listen():
            match event:
                case {"type": "subscribe", "channel": channel} if channel in self.confirmed:
                    self.confirmed[channel].set()
                case {"type": "message", "channel": channel, "data": data}:
                    message = stored_message(*json.loads(data))
                    await self.listener.on_event(channel.removeprefix(PREFIX), message)
                    # Yield control to the writers: a burst from another process must not disconnect a tab that reads.
                    await asyncio.sleep(0)
