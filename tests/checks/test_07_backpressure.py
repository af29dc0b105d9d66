"""Step 07: the checks of the exercise. Those of each TODO are in a module of `tests/checks/backpressure/`:

1. `messages.py`: numbered messages in one order, and all that step 05 asked for
2. `slow_consumers.py`: slow consumers are disconnected, and hold up no other member
3. `heartbeat.py`: pings, and the end of members that stay silent
4. `shutdown.py`: the process ends soon after SIGTERM

`room.py` has what several of them need.
"""

from .backpressure.heartbeat import Heartbeat
from .backpressure.messages import Messages
from .backpressure.shutdown import Shutdown
from .backpressure.slow_consumers import SlowConsumers


class TestExercise(Messages, SlowConsumers, Heartbeat, Shutdown):
    """All checks of step 07."""

    leaving = 2
    """The TODO that a client that disconnects belongs to: there, the tab gets its queue and its writer."""
