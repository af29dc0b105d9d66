"""Step 07, exercise, ready for you: what can be set, and the limits of every tab."""

import os

HEARTBEAT_INTERVAL = float(os.environ.get("HEARTBEAT", "10"))
"""Seconds between two pings."""
CLOSE_TIMEOUT = float(os.environ.get("CLOSE_TIMEOUT", "2"))
"""Seconds without progress after which a connection that's being closed is aborted."""
MAX_UNANSWERED_PINGS = 3
"""At the next ping, a member that has sent nothing since the first of them is disconnected."""
MAX_QUEUED_FRAMES = 64
"""Messages that may wait behind one that's being sent to a tab. At the next one, the tab is disconnected."""
