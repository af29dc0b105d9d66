"""Step 09: the checks of the exercise. They are in the modules of `tests/checks/scale_out/`, by TODO:

- 1 and 2: `broadcast.py`, messages in every process, over one subscription per process
- 3: `history.py`, a history that every process replays
- 4: `presence.py`, one list of members for all processes, even after one is killed
- 4 and 5: `networks.py`, a slow and a half-open network between a process and Redis
- 5: `outages.py`, outages of Redis, and the guarantees during and after them; `error_replies.py`, error replies of
  Redis; `restarts.py`, the client of step 08 during outages
- 6: `keys.py`, idempotency keys that every process deduplicates, and the broker without Redis

`every_process.py` has helpers for several of them.
"""

from .scale_out.broadcast import Broadcast
from .scale_out.error_replies import ErrorReplies
from .scale_out.history import History
from .scale_out.keys import Keys
from .scale_out.networks import Networks
from .scale_out.outages import Outages
from .scale_out.presence import Presence
from .scale_out.restarts import Restarts


# Checks of one TODO run in reverse order of these classes.
class TestExercise(Broadcast, History, Restarts, Networks, ErrorReplies, Outages, Presence, Keys):
    """All checks of step 09."""

    least_patience = 1.5
    """Minimum timeout, in seconds: in parallel, the checks of this step keep twenty processes busy. A right answer
    that's late once is judged again check by check, which takes several times as long."""
