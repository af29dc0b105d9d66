"""Step 07, solution: what can be set, and the limits that hold for every tab."""

import os

HEARTBEAT = float(os.environ.get("HEARTBEAT", "10"))
"""Seconds between two pings."""
MOST_WAITING = 64
"""Frames that may wait for a tab."""
PATIENCE = 1.5
"""Seconds that a connection gets to take what is on the way and end. Then it is aborted."""
