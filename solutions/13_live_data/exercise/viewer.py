"""Step 13, solution: a viewer, and the values that wait until its connection and its rate allow the next message."""

import asyncio
from collections import deque
from collections.abc import Collection
from typing import Any

from .encoding import encode
from .settings import MAX_UNSEEN
from .tab import Tab


class Viewer:
    def __init__(self, tab: Tab) -> None:
        self.tab = tab
        self.topics: set[str] = set()
        self.is_closing = False
        self._merged: dict[str, float] = {}
        """The newest value of each topic that has changed since the last message."""
        self._first, self._last = 1, 0
        """The samples that the next message covers."""
        self._unseen: deque[int] = deque()
        """The last sample of each message that the viewer hasn't answered with seen."""
        self._interval = 0.0
        """The shortest time between two messages, in seconds."""
        self._sent_at = 0.0
        """When the last message with values was sent, by the clock of the event loop."""
        self._rate_timer: asyncio.TimerHandle | None = None
        """It runs while the next message would be too early."""

    def update(self, seq: int, values: dict[str, float]) -> None:
        """Merge a sample, and send it if the viewer may get the next message."""
        self._last = seq
        self._merged |= {topic: values[topic] for topic in values.keys() & self.topics}
        self._flush()

    def seen(self, last: int) -> None:
        """Note that the viewer has seen a message, and each one before it."""
        # A message from before a snapshot, or one that never was, changes nothing.
        if last in self._unseen:
            while self._unseen.popleft() != last:
                pass
            self._flush()

    def set_rate(self, per_second: float) -> None:
        self._interval = 1 / per_second
        self._start_interval()

    def send_snapshot(self, seq: int, values: dict[str, float]) -> None:
        """Start again from this sample: drop what's merged, and expect no seen for earlier messages."""
        self._merged.clear()
        self._unseen.clear()
        self._first, self._last = seq + 1, seq
        self.send({"type": "snapshot", "seq": seq, "values": values})

    def drop(self, topics: Collection[str]) -> None:
        """Remove topics, with their merged values."""
        self.topics.difference_update(topics)
        self._merged = {topic: value for topic, value in self._merged.items() if topic in self.topics}

    def send(self, message: dict[str, Any]) -> None:
        """Queue a message. If the queue is full, close the connection."""
        if not self.is_closing and not self.tab.try_put(encode(message)):
            self.is_closing = True
            self.tab.close(1013, "too slow")

    def stop(self) -> None:
        """Drop the merged values, so the end of an interval sends nothing. The viewer may subscribe again."""
        self._merged.clear()

    def _flush(self) -> None:
        # At most two unseen messages: more would only wait in the buffers of the network, and grow old there.
        if not self._merged or self._rate_timer or len(self._unseen) >= MAX_UNSEEN:
            return
        self.send({"type": "values", "first": self._first, "last": self._last, "values": self._merged})
        self._unseen.append(self._last)
        self._first, self._merged = self._last + 1, {}
        self._sent_at = asyncio.get_running_loop().time()
        if self._interval:
            self._start_interval()

    def _start_interval(self) -> None:
        # From the last message: another rate, or the same one once more, must not bring more messages.
        if self._rate_timer:
            self._rate_timer.cancel()
        end = self._sent_at + self._interval
        self._rate_timer = asyncio.get_running_loop().call_at(end, self._end_interval)

    def _end_interval(self) -> None:
        self._rate_timer = None
        # Don't wait for the next sample: with few samples a second, it may be far away.
        self._flush()
