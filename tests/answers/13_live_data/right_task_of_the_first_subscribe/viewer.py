"""Step 13: a viewer whose next message waits for seen, and for its rate."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from .encoding import encode
from .settings import MAX_UNSEEN
from .tab import Tab


@dataclass(eq=False)
class Viewer:
    tab: Tab
    closing: bool = False
    interval: float = 0.0
    first: int = 1
    last: int = 0
    merged: dict[str, float] = field(default_factory=dict)
    unseen: set[int] = field(default_factory=set)
    not_before: float = 0.0
    timer: asyncio.TimerHandle | None = None

    def post(self, message: dict[str, Any]) -> None:
        if not self.closing and not self.tab.try_put(encode(message)):
            self.closing = True
            self.tab.close(1013, "too slow")

    def start_again(self, seq: int, values: dict[str, float]) -> None:
        self.merged, self.unseen = {}, set()
        self.first, self.last = seq + 1, seq
        self.post({"type": "snapshot", "seq": seq, "values": values})

    def offer(self, seq: int, values: dict[str, float]) -> None:
        self.last = seq
        self.merged.update(values)
        self.post_merged()

    def seen(self, last: int) -> None:
        if last in self.unseen:
            self.unseen = {each for each in self.unseen if each > last}
        self.post_merged()

    def forget(self, topics: Collection[str]) -> None:
        for topic in topics:
            self.merged.pop(topic, None)

    def post_merged(self) -> None:
        loop = asyncio.get_running_loop()
        if self.timer:
            self.timer.cancel()
            self.timer = None
        if not self.merged or len(self.unseen) >= MAX_UNSEEN:
            return
        if loop.time() < self.not_before:
            self.timer = loop.call_at(self.not_before, self.post_merged)
            return
        self.post({"type": "values", "first": self.first, "last": self.last, "values": self.merged})
        self.unseen.add(self.last)
        self.not_before = loop.time() + self.interval
        self.first, self.merged = self.last + 1, {}

    def set_rate(self, per_second: float) -> None:
        self.not_before += 1 / per_second - self.interval
        self.interval = 1 / per_second
        self.post_merged()

    def stop(self) -> None:
        self.closing = True
        if self.timer:
            self.timer.cancel()
