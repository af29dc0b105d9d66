"""Step 13: the samples and the alerts, of this machine or of a recorded one."""

import logging
import os
import time
from collections.abc import Callable
from itertools import cycle

import psutil

from .machine import Machine
from .recording import RECORDING

logger = logging.getLogger(__name__)

TOPICS = ("cpu", "memory", "received", "sent", "connections", "disk", "clock", "alerts")
"""The topics that viewers can subscribe to. alerts has texts, and all others have values."""
BUSY = 90.0
"""The percentage of cpu above which there's an alert."""
recorded = cycle(RECORDING)


def read_recording() -> dict[str, float]:
    return dict(zip(TOPICS, next(recorded), strict=False))


def choose() -> Callable[[], dict[str, float]]:
    """Return the function that reads the machine, or the recording for one that may not be read."""
    if os.environ.get("SOURCE") == "recording":
        return read_recording
    try:
        Machine().sample()
    except (psutil.Error, OSError) as error:
        logger.warning("This machine can't be read, so you see a recording: %s", error)
        return read_recording
    return Machine().sample


read = choose()
new_alerts: list[str] = []
is_busy = False


def sample() -> dict[str, float]:
    """Return the newest value of each topic that has a new one, with the time of the sample as clock."""
    global is_busy
    values = read() | {"clock": time.time()}
    if (values["cpu"] > BUSY) != is_busy:
        is_busy = not is_busy
        new_alerts.append(f"cpu is {'above' if is_busy else 'back below'} {BUSY:g} %")
    return values


def alerts() -> list[str]:
    """Return the alerts since the last call, in order."""
    texts = new_alerts[:]
    del new_alerts[: len(texts)]
    return texts
