"""Step 09, lesson: what can be set, and the limits that hold for every tab."""

import os

BROKER = os.environ.get("BROKER", "memory://")
"""What stands between the processes: memory://, which is for one process alone, or the address of a Redis."""
HEARTBEAT = float(os.environ.get("HEARTBEAT", "10"))
"""Seconds between two pings."""
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
