"""Step 09: the checks of the exercise. They are in the modules of `tests/checks/scale_out/`, by TODO:

- 1 and 2: `broadcast.py`, messages at every process, over one subscription for each
- 3: `history.py`, a history that every process replays
- 4: `presence.py`, one list of members for all processes, also after one was killed
- 4 and 5: `networks.py`, a slow and a half-open network between a process and Redis
- 5: `outages.py`, outages of Redis, and what holds during and after them; `error_replies.py`, a Redis that answers with
  errors; `restarts.py`, the client of step 08 through outages
- 6: `keys.py`, idempotency keys that every process knows, and the broker without Redis

`every_process.py` has what several of them need.
"""

from .scale_out.broadcast import Broadcast
from .scale_out.error_replies import ErrorReplies
from .scale_out.history import History
from .scale_out.keys import Keys
from .scale_out.networks import Networks
from .scale_out.outages import Outages
from .scale_out.presence import Presence
from .scale_out.restarts import Restarts


# The checks of one TODO run in the order of these classes from the last to the first.
class TestExercise(Broadcast, History, Restarts, Networks, ErrorReplies, Outages, Presence, Keys):
    """All checks of step 09."""

    least_patience = 1.5
    """Seconds to wait for an answer in any case: side by side, the checks of this step keep twenty processes busy. A
    right answer that is late once is judged again check by check, which takes several times as long."""
