"""Step 10: the checks of the exercise. They are in the modules of `tests/checks/scale_out/`, by TODO:

- 1 and 2: `broadcast.py`, messages in every process, over one subscription per process
- 3: `history.py`, a history that every process replays
- 4: `keys.py`, idempotency keys that every process deduplicates, and the broker without Redis
- 1 and 3: `rooms.py`, names of rooms
- 2 and 3: `refused.py`, a Redis that refuses a message, or that ends
- 1, 3 and 4: `between.py`, what other processes do between two commands of a process

`every_process.py` has helpers for several of them, and for those of step 11. `diagnosis.py` explains failures.
"""

from .scale_out.between import Between
from .scale_out.broadcast import Broadcast
from .scale_out.history import History
from .scale_out.keys import Keys
from .scale_out.refused import Refused
from .scale_out.rooms import Rooms


class TestExercise(Refused, Between, Rooms, Keys, History, Broadcast):
    """All checks of step 10."""

    is_step_10 = True
    """Whether a failure may belong to another TODO than its check; see `diagnosis.explained`."""

    least_patience = 1.5
    """Minimum timeout, in seconds: in parallel, the checks of this step keep several processes busy. A right answer
    that's late once is judged again check by check, which takes several times as long."""
