"""Step 13: a viewer, and the task that sends to it."""

import asyncio
import json
from collections import deque
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from fastapi import WebSocket, WebSocketDisconnect
from starlette.websockets import WebSocketDisconnected

from .settings import CLOSE_TIMEOUT, MAX_QUEUED_FRAMES, MAX_UNSEEN

if TYPE_CHECKING:
    from .feed import Feed


class Viewer:
    def __init__(self, websocket: WebSocket, feed: "Feed") -> None:
        self.websocket = websocket
        self.feed = feed
        self.topics: set[str] = set()
        self.is_over = False
        self._sent = 0
        """The last sample that a message has covered."""
        self._replies: deque[str] = deque()
        self._unseen: list[int] = []
        self._interval = 0.0
        self._next_at = 0.0
        self._may_send = asyncio.Event()
        self._is_sending = False
        self._abort_timer: asyncio.TimerHandle | None = None

    def reply(self, message: dict[str, Any]) -> None:
        if self._is_sending and len(self._replies) >= MAX_QUEUED_FRAMES:
            if not self.is_over:
                self._abort_later()
            self.is_over = True
            self.feed.remove(self)
        if not self.is_over:
            self._replies.append(json.dumps(message))
        self._may_send.set()

    def wake_up(self, texts: Collection[str]) -> None:
        if "alerts" in self.topics:
            for text in texts:
                # feed.remove() would change the set during the loop over it.
                if not self.is_over:
                    asyncio.get_running_loop().call_soon(self.reply, {"type": "alert", "text": text})
        self._may_send.set()

    def subscribe(self, topics: Collection[str]) -> None:
        self.topics.update(topics)
        self._sent = self.feed.seq
        self._unseen.clear()
        newest = self.feed.newest
        values = {topic: newest[topic][1] for topic in self.topics if topic in newest}
        self.reply({"type": "snapshot", "seq": self._sent, "values": values})

    def unsubscribe(self, topics: list[str]) -> None:
        self.topics.difference_update(topics)
        self.reply({"type": "unsubscribed", "topics": topics})

    def seen(self, last: int) -> None:
        if last in self._unseen:
            self._unseen = [each for each in self._unseen if each > last]
        self._may_send.set()

    def set_rate(self, per_second: float) -> None:
        self._next_at -= self._interval - 1 / per_second
        self._interval = 1 / per_second
        self._may_send.set()

    def _take_values(self) -> str | None:
        """Return the next message with values, or None if nothing has changed or may be sent."""
        if len(self._unseen) >= MAX_UNSEEN or asyncio.get_running_loop().time() < self._next_at:
            return None
        newest = self.feed.newest
        changed = {t: newest[t][1] for t in self.topics if t in newest and newest[t][0] > self._sent}
        if not changed:
            return None
        first, self._sent = self._sent + 1, self.feed.seq
        self._unseen.append(self._sent)
        self._next_at = asyncio.get_running_loop().time() + self._interval
        return json.dumps({"type": "values", "first": first, "last": self._sent, "values": changed})

    async def write(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                while text := self._replies.popleft() if self._replies else self._take_values():
                    self._is_sending = True
                    await self.websocket.send_text(text)
                    self._is_sending = False
                    if self.is_over:
                        self._abort_later()
                if self.is_over:
                    await self.websocket.close(1013, "too slow")
                    return
                wait = self._next_at - loop.time()
                timer = loop.call_later(wait, self._may_send.set) if wait > 0 else None
                self._may_send.clear()
                await self._may_send.wait()
                if timer:
                    timer.cancel()
        except (WebSocketDisconnect, WebSocketDisconnected):
            pass

    def _abort_later(self) -> None:
        if self._abort_timer:
            self._abort_timer.cancel()
        self._abort_timer = asyncio.get_running_loop().call_later(CLOSE_TIMEOUT, self._abort)

    def _abort(self) -> None:
        transport: asyncio.Transport | None = self.websocket.state.transport
        if transport and transport.get_write_buffer_size():
            transport.abort()
