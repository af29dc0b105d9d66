"""Step 09, solution: what can be set, and the limits that hold for every tab and process."""

import os

BROKER = os.environ.get("BROKER", "memory://")
"""What stands between the processes: memory://, which is for one process alone, or the address of a Redis."""
HEARTBEAT_INTERVAL = float(os.environ.get("HEARTBEAT", "10"))
"""Seconds between two pings."""
CLOSE_TIMEOUT = float(os.environ.get("CLOSE_TIMEOUT", "2"))
"""Seconds without progress after which a connection that's being closed is aborted."""
JOURNAL = os.environ.get("JOURNAL")
"""The file that keeps what was said when memory is the broker; without it, memory does."""
KEPT_MESSAGES = 100
"""Messages of a room that a member may ask for when it comes back."""
KEPT_KEYS = 1000
"""Keys of a room that are known again."""
LEASE_TTL = int(os.environ.get("LEASE_TTL", "6"))
"""Whole seconds that the names of a process stay on the lists after it has last renewed its lease."""
LEASE_RENEW_INTERVAL = float(os.environ.get("LEASE_RENEW_INTERVAL", "1.5"))
"""Seconds between two renewals of the lease of a process."""
MAX_UNANSWERED_PINGS = 3
"""At the next ping, a member that has sent nothing since the first of them is disconnected."""
MAX_QUEUED_FRAMES = 64
"""Messages that may wait behind one that's being sent to a tab. At the next one, the tab is disconnected."""
