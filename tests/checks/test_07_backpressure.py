"""Step 07: the checks of the exercise. Those of each TODO are in a module of `tests/checks/backpressure/`:

1. `messages.py`: numbered messages in one order; `step_05.py`, the checks of step 05 again
2. `slow_consumers.py`: slow consumers are disconnected, and don't delay other members
3. `heartbeat.py`: pings, and the disconnect of silent members; `silent.py`, those that read nothing; `crowd.py`, a
   large room
4. `shutdown.py`: the process ends soon after SIGTERM

`room.py` has helpers for several of them.
"""

from .backpressure.heartbeat import Heartbeat
from .backpressure.messages import Messages
from .backpressure.shutdown import Shutdown
from .backpressure.silent import Silent
from .backpressure.slow_consumers import SlowConsumers
from .backpressure.step_05 import StepFive


# Checks of one TODO run in reverse order of these classes.
class TestExercise(StepFive, Messages, SlowConsumers, Silent, Heartbeat, Shutdown):
    """All checks of step 07."""

    leaving = 2
    """The TODO for failures after a disconnect: it adds the queue and the writer of a tab."""
