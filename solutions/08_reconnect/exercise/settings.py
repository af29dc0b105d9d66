"""Step 08, solution: what can be set, and the limits that hold for every tab."""

import os

HEARTBEAT = float(os.environ.get("HEARTBEAT", "10"))
"""Seconds between two pings."""
JOURNAL = os.environ.get("JOURNAL")
"""The file that keeps what was said; without it, memory does."""
KEPT_MESSAGES = 100
"""Messages of a room that a member may ask for when it comes back."""
KEPT_KEYS = 1000
"""Keys of a room that are known again."""
MOST_WAITING = 64
"""Frames that may wait for a tab. At the next it is dropped."""
BEHIND, CAUGHT_UP = 48, 40
"""A tab with so many frames waiting is far behind, until only so many wait."""
MOMENT = 0.03
"""Seconds that whoever sends waits for a tab that is far behind."""
PATIENCE = 1.0
"""Seconds that a connection gets to take what is on the way and end. Then it is aborted."""
