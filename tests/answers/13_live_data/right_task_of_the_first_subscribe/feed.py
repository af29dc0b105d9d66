"""Step 13: a feed whose task runs while it's needed."""

import asyncio
import logging
from collections.abc import Collection

from .settings import LINGER, SAMPLES_PER_SECOND
from .source import alerts, sample
from .viewer import Viewer

logger = logging.getLogger(__name__)


class Feed:
    def __init__(self) -> None:
        self.seq = 0
        self.newest: dict[str, float] = {}
        self.viewers: dict[Viewer, set[str]] = {}
        self._task: asyncio.Task[None] | None = None
        self._unwatched_since = 0.0

    def subscribe(self, viewer: Viewer, topics: Collection[str]) -> None:
        mine = self.viewers.setdefault(viewer, set())
        mine |= set(topics)
        viewer.start_again(self.seq, {topic: value for topic, value in self.newest.items() if topic in mine})
        if not mine:
            del self.viewers[viewer]
        elif self._task is None:
            self._task = asyncio.create_task(self._run())

    def unsubscribe(self, viewer: Viewer, topics: Collection[str]) -> None:
        mine = self.viewers.get(viewer, set())
        mine -= set(topics)
        viewer.forget(topics)
        viewer.post({"type": "unsubscribed", "topics": list(topics)})
        if not mine:
            self.leave(viewer)

    def leave(self, viewer: Viewer) -> None:
        if self.viewers.pop(viewer, None) is not None and not self.viewers:
            self._unwatched_since = asyncio.get_running_loop().time()

    async def close(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _is_needed(self) -> bool:
        return bool(self.viewers) or asyncio.get_running_loop().time() < self._unwatched_since + LINGER

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._is_needed():
                started = loop.time()
                await self._take_sample()
                await asyncio.sleep(max(0.0, 1 / SAMPLES_PER_SECOND - (loop.time() - started)))
        finally:
            # Without an await after the last look at the viewers, so no subscribe finds a task that has decided to end.
            self._task = None

    async def _take_sample(self) -> None:
        try:
            values = await asyncio.to_thread(sample)
        except Exception as error:
            logger.error("no sample: %r", error)
            return
        texts = alerts()
        self.seq += 1
        self.newest.update(values)
        for viewer, topics in [*self.viewers.items()]:
            viewer.offer(self.seq, {topic: value for topic, value in values.items() if topic in topics})
            if "alerts" in topics:
                for text in texts:
                    viewer.post({"type": "alert", "text": text})


feed = Feed()
