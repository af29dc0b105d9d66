"""Step 13: the newest value of each topic, with the number of its sample."""

import asyncio
import logging
from dataclasses import dataclass, field

from .settings import LINGER, SAMPLES_PER_SECOND
from .source import alerts, sample
from .viewer import Viewer

logger = logging.getLogger(__name__)


@dataclass
class Feed:
    seq: int = 0
    newest: dict[str, tuple[int, float]] = field(default_factory=dict)
    """By topic: the number of the sample that changed it last, and the value."""
    viewers: set[Viewer] = field(default_factory=set)
    watched: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def run(self) -> None:
        while True:
            async with self.watched:
                await self.watched.wait_for(lambda: self.viewers)
            while await self._is_watched():
                await asyncio.gather(self._sample(), asyncio.sleep(1 / SAMPLES_PER_SECOND))

    async def _is_watched(self) -> bool:
        if not self.viewers:
            # Continue to sample during the last second, as a viewer may come back.
            loop = asyncio.get_running_loop()
            until = loop.time() + LINGER
            while not self.viewers and loop.time() < until:
                await asyncio.gather(self._sample(), asyncio.sleep(1 / SAMPLES_PER_SECOND))
        return bool(self.viewers)

    async def _sample(self) -> None:
        try:
            values = await asyncio.to_thread(sample)
            texts = await asyncio.to_thread(alerts)
        except Exception:
            logger.exception("no sample")
            return
        self.seq += 1
        for topic, value in values.items():
            self.newest[topic] = (self.seq, value)
        for viewer in self.viewers:
            viewer.wake_up(texts)

    async def add(self, viewer: Viewer) -> None:
        async with self.watched:
            if viewer.topics and not viewer.is_over:
                self.viewers.add(viewer)
                self.watched.notify_all()

    def remove(self, viewer: Viewer) -> None:
        self.viewers.discard(viewer)
