"""Step 10, lesson: brokers, which connect the processes."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, Protocol

from redis.asyncio import Redis

EventHandler = Callable[[dict[str, Any]], None]


class Broker(Protocol):
    async def start(self, on_event: EventHandler) -> None:
        """Start calling `on_event` with each published message."""

    async def publish(self, message: dict[str, Any]) -> None:
        """Deliver a message to all processes, including this one."""

    async def stop(self) -> None:
        """Stop delivering messages."""


class MemoryBroker:
    """A broker for a single process."""

    async def start(self, on_event: EventHandler) -> None:
        self.on_event = on_event

    async def publish(self, message: dict[str, Any]) -> None:
        self.on_event(message)

    async def stop(self) -> None:
        pass


class RedisBroker:
    """A broker for all processes that use the same Redis."""

    def __init__(self, url: str) -> None:
        self.redis = Redis.from_url(url, decode_responses=True)
        self.pubsub = self.redis.pubsub()

    async def start(self, on_event: EventHandler) -> None:
        await self.pubsub.subscribe("chat")
        self.listen_task = asyncio.create_task(self._listen(on_event))

    async def _listen(self, on_event: EventHandler) -> None:
        async for event in self.pubsub.listen():
            if event["type"] == "message":
                on_event(json.loads(event["data"]))

    async def publish(self, message: dict[str, Any]) -> None:
        await self.redis.publish("chat", json.dumps(message))

    async def stop(self) -> None:
        self.listen_task.cancel()
        await self.pubsub.aclose()  # type: ignore[no-untyped-call]  # redis-py has no types for it.
        await self.redis.aclose()
