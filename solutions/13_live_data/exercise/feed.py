"""Step 13, solution: one producer for all viewers, and the newest value of each topic."""

import asyncio
import logging
from collections.abc import Collection
from typing import Annotated

from fastapi import Depends, WebSocket

from .settings import LINGER, SAMPLES_PER_SECOND
from .source import alerts, sample
from .viewer import Viewer

logger = logging.getLogger(__name__)


class Feed:
    def __init__(self) -> None:
        self.seq = 0
        """The number of samples so far, the same for all viewers."""
        self.values: dict[str, float] = {}
        """The newest value of each topic."""
        self.viewers: set[Viewer] = set()
        """The viewers with at least one topic."""
        self._is_watched = asyncio.Event()
        self._linger_timer: asyncio.TimerHandle | None = None

    async def produce(self) -> None:
        """Sample while there are viewers, and wait while there are none."""
        loop = asyncio.get_running_loop()
        while True:
            await self._is_watched.wait()
            due = loop.time()
            while self._is_watched.is_set():
                await self._sample()
                due = max(due + 1 / SAMPLES_PER_SECOND, loop.time())
                await asyncio.sleep(due - loop.time())

    async def _sample(self) -> None:
        try:
            # In a thread, because a sample may block. The next one starts after it: one at a time.
            values, texts = await asyncio.to_thread(lambda: (sample(), alerts()))
        except Exception:
            logger.exception("A sample has failed, and is left out.")
        else:
            self.publish(values, texts)

    def publish(self, values: dict[str, float], texts: Collection[str]) -> None:
        self.seq += 1
        self.values |= values
        for viewer in list(self.viewers):
            viewer.update(self.seq, values)
            if "alerts" in viewer.topics:
                for text in texts:
                    viewer.send({"type": "alert", "text": text})
            if viewer.is_closing:
                self.leave(viewer)

    def subscribe(self, viewer: Viewer, topics: Collection[str]) -> None:
        # No await in here: a sample between the snapshot and the subscription would be lost.
        viewer.topics.update(topics)
        viewer.send_snapshot(self.seq, {topic: self.values[topic] for topic in viewer.topics & self.values.keys()})
        if viewer.topics:
            self.viewers.add(viewer)
            self._is_watched.set()
            if self._linger_timer:
                self._linger_timer.cancel()

    def unsubscribe(self, viewer: Viewer, topics: Collection[str]) -> None:
        viewer.drop(topics)
        viewer.send({"type": "unsubscribed", "topics": topics})
        if not viewer.topics:
            self.leave(viewer)

    def leave(self, viewer: Viewer) -> None:
        viewer.stop()
        if viewer in self.viewers:
            self.viewers.remove(viewer)
            if not self.viewers:
                self._linger_timer = asyncio.get_running_loop().call_later(LINGER, self._is_watched.clear)


async def get_feed(websocket: WebSocket) -> Feed:
    feed: Feed = websocket.state.feed
    return feed


FeedDep = Annotated[Feed, Depends(get_feed)]
