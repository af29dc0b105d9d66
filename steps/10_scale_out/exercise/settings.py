"""Step 10: settings from the environment, and the limits of each tab."""

import os

BROKER = os.environ.get("BROKER", "memory://")
"""memory://, which is for a single process, or the URL of a Redis, which connects many."""
HEARTBEAT_INTERVAL = float(os.environ.get("HEARTBEAT_INTERVAL", "10"))
"""Seconds between two pings."""
CLOSE_TIMEOUT = float(os.environ.get("CLOSE_TIMEOUT", "2"))
"""Seconds without progress after which a connection that's being closed is aborted."""
JOURNAL = os.environ.get("JOURNAL")
"""The path of the file that stores the messages with memory:// as the broker; without it, they're only in memory."""
HISTORY_SIZE = 100
"""Messages that are stored for each room, for replays."""
DEDUP_WINDOW = 1000
"""Keys of a room by which duplicates are detected."""
MAX_UNANSWERED_PINGS = 3
"""Pings without any message from the client. Before the next ping, the tab is disconnected."""
MAX_QUEUED_FRAMES = 64
"""Messages that may be queued while a send to a tab waits. At the next one, the tab is disconnected."""
