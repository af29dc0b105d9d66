"""Step 13: settings from the environment, and the limits of each viewer."""

import os

SAMPLES_PER_SECOND = float(os.environ.get("SAMPLES_PER_SECOND", "20"))
"""Samples a second, for all viewers together."""
LINGER = 1.0
"""Seconds that the producer continues after the last viewer has left: a page that's reloaded is back by then."""
MAX_UNSEEN = 2
"""Messages with values that a viewer may have without having answered them with seen."""
MAX_QUEUED_FRAMES = 64
"""Messages that may be queued while a send to a viewer waits. At the next one, the viewer is disconnected."""
CLOSE_TIMEOUT = float(os.environ.get("CLOSE_TIMEOUT", "2"))
"""Seconds without progress after which a connection that's being closed is aborted."""
