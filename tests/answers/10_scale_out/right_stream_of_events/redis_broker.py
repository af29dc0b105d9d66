"""Step 10: a broker for many processes, which all read one stream of events."""

import asyncio
import itertools
import json
from contextlib import AsyncExitStack
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from . import scripts
from .broker import HistoryPage, Listener, StoredMessage
from .encoding import text_event
from .settings import DEDUP_WINDOW, HISTORY_SIZE
from .supervision import supervised

EVENTS = "chat:events"
MAX_EVENTS = 10_000
"""Events in the stream. A process that's further behind detects the gap and reads the history."""


def redis_keys(room_id: str, *kinds: str) -> list[str]:
    """Return the keys of a room."""
    return [f"chat:{{{room_id}}}:{kind}" for kind in kinds]


class RedisBroker:
    def __init__(self, url: str) -> None:
        # No retries: Redis may have run the script although its reply is lost. No timeout either: redis-py's five
        # seconds also end a read whose reply is only late.
        self.redis = Redis.from_url(url, decode_responses=True, retry=Retry(NoBackoff(), 0), socket_timeout=None)
        self.exit_stack = AsyncExitStack()
        self._publish_script = self.redis.register_script(scripts.PUBLISH)

    async def start(self, listener: Listener) -> None:
        self.listener = listener
        await self.redis.script_load(scripts.PUBLISH)
        # Start here: reading a history yields all earlier messages of its room.
        newest = await self.redis.xrevrange(EVENTS, count=1)
        last_entry = newest[0][0] if newest else "0-0"
        # If the reading ends, the server does too: without it, a process would look alive.
        await self.exit_stack.enter_async_context(supervised(self._read_events(last_entry)))

    async def stop(self) -> None:
        await self.exit_stack.aclose()
        await self.redis.aclose()

    async def publish(self, room_id: str, sender: str, text: str, key: str) -> int:
        message = json.dumps({"from": sender, "text": text}, separators=(",", ":"), ensure_ascii=False)
        dedup_key = json.dumps([sender, key]) if key else ""
        message_id = await self._publish_script(
            [*redis_keys(room_id, "last", "messages", "keys"), EVENTS],
            [room_id, dedup_key, message, HISTORY_SIZE, DEDUP_WINDOW, MAX_EVENTS],
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

    async def _read_events(self, last_entry: str) -> None:
        """Read the events of all rooms, as they're appended. One command waits for them, on one connection."""
        while True:
            # RESP3 has a dict with a list of pages, RESP2 a list of pairs.
            reply: Any = await self.redis.xread({EVENTS: last_entry}, block=1000) or {}
            pages = reply.get(EVENTS, []) if isinstance(reply, dict) else [entries for _, entries in reply]
            for entry, fields in itertools.chain.from_iterable(pages):
                last_entry = entry
                message = StoredMessage(int(fields["id"]), text_event(fields["event"]))
                await self.listener.on_event(fields["room"], message)
                # Yield control to the writers: a burst from another process must not disconnect a tab that reads.
                await asyncio.sleep(0)
