"""Step 13: the measurements of this machine, or a recording of another one."""

import logging
import os
import time
from itertools import cycle
from typing import Protocol

import psutil

from .recording import RECORDING

logger = logging.getLogger(__name__)

TOPICS = ("cpu", "memory", "received", "sent", "connections", "disk", "clock", "alerts")
"""The topics that viewers can subscribe to. alerts has texts, and all others have values."""
DISK_INTERVAL = 30.0
"""Seconds between two values of disk. The samples in between don't have this topic."""
BUSY = 90.0
"""The percentage of cpu above which there's an alert."""


class Source(Protocol):
    def sample(self) -> dict[str, float]:
        """Return the newest value of each topic that has a new one."""


class Machine:
    """This machine: percent of cpu, memory and disk, KB/s of the network, and this process's TCP connections."""

    def __init__(self) -> None:
        self.measured_at = time.monotonic()
        self.network = network_bytes()
        self.disk_at = -DISK_INTERVAL
        psutil.cpu_percent()  # Each call returns the mean since the call before.

    def sample(self) -> dict[str, float]:
        now, network = time.monotonic(), network_bytes()
        seconds = max(now - self.measured_at, 0.001)
        received, sent = ((new - old) / seconds / 1000 for new, old in zip(network, self.network, strict=True))
        self.measured_at, self.network = now, network
        tcp = psutil.Process().net_connections("tcp")
        values = {
            "cpu": psutil.cpu_percent(),
            "memory": psutil.virtual_memory().percent,
            "received": received,
            "sent": sent,
            "connections": float(sum(each.status == psutil.CONN_ESTABLISHED for each in tcp)),
        }
        if now - self.disk_at >= DISK_INTERVAL:
            self.disk_at = now
            values["disk"] = psutil.disk_usage(os.path.abspath(os.sep)).percent
        return values


class Recording:
    """A recorded machine, again and again. For machines that may not be read: set SOURCE=recording."""

    def __init__(self) -> None:
        self.rows = cycle(RECORDING)

    def sample(self) -> dict[str, float]:
        return dict(zip(TOPICS, next(self.rows), strict=False))


def network_bytes() -> tuple[int, int]:
    """Return the bytes that this machine has received and sent."""
    counters = psutil.net_io_counters()  # None on a machine without a network.
    return (counters.bytes_recv, counters.bytes_sent) if counters else (0, 0)


def choose_source() -> Source:
    """Return the machine if this process may read it, and the recording otherwise."""
    try:
        machine = Machine()
        machine.sample()
    except (psutil.Error, OSError) as error:
        logger.warning("This machine can't be read, so you see a recording: %s", error)
        return Recording()
    return Recording() if os.environ.get("SOURCE") == "recording" else Machine()


source = choose_source()
new_alerts: list[str] = []
is_busy = False


def sample() -> dict[str, float]:
    """Return the newest value of each topic that has a new one, with the time of the sample as clock.

    Raises:
        psutil.Error: the machine can't be read.
    """
    global is_busy
    values = source.sample() | {"clock": time.time()}
    if (values["cpu"] > BUSY) != is_busy:
        is_busy = not is_busy
        new_alerts.append(f"cpu is {'above' if is_busy else 'back below'} {BUSY:g} %")
    return values


def alerts() -> list[str]:
    """Return the alerts since the last call, in order."""
    texts = new_alerts[:]
    del new_alerts[: len(texts)]
    return texts
