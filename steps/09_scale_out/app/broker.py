"""Step 09, lesson: what stands between the processes."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, Protocol

from redis.asyncio import Redis

Hear = Callable[[dict[str, Any]], None]


class Broker(Protocol):
    async def start(self, hear: Hear) -> None:
        """From now on `hear` is called with whatever a process publishes."""

    async def publish(self, message: dict[str, Any]) -> None:
        """Let every process hear this, this one too."""

    async def stop(self) -> None:
        """Nothing is heard any more."""


class MemoryBroker:
    """For one process, which hears itself."""

    async def start(self, hear: Hear) -> None:
        self.hear = hear

    async def publish(self, message: dict[str, Any]) -> None:
        self.hear(message)

    async def stop(self) -> None:
        pass


class RedisBroker:
    """For as many processes as use the same Redis."""

    def __init__(self, url: str) -> None:
        self.redis = Redis.from_url(url, decode_responses=True)
        self.pubsub = self.redis.pubsub()

    async def start(self, hear: Hear) -> None:
        await self.pubsub.subscribe("chat")
        self.listening = asyncio.create_task(self._listen(hear))

    async def _listen(self, hear: Hear) -> None:
        async for event in self.pubsub.listen():
            if event["type"] == "message":
                hear(json.loads(event["data"]))

    async def publish(self, message: dict[str, Any]) -> None:
        await self.redis.publish("chat", json.dumps(message))

    async def stop(self) -> None:
        self.listening.cancel()
        await self.pubsub.aclose()  # type: ignore[no-untyped-call]  # redis-py has no types for it.
        await self.redis.aclose()
