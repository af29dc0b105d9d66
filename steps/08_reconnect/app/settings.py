"""Step 07, solution: settings from the environment, and the limits of each tab."""

import os

HEARTBEAT_INTERVAL = float(os.environ.get("HEARTBEAT_INTERVAL", "10"))
"""Seconds between two pings."""
CLOSE_TIMEOUT = float(os.environ.get("CLOSE_TIMEOUT", "2"))
"""Seconds without progress after which a connection that's being closed is aborted."""
MAX_UNANSWERED_PINGS = 3
"""Pings without any message from the client. Before the next ping, the tab is disconnected."""
MAX_QUEUED_FRAMES = 64
"""Messages that may be queued while a send to a tab waits. At the next one, the tab is disconnected."""
