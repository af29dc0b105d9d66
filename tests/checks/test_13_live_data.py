"""Step 13: the checks of the exercise. They are in the modules of `tests/checks/live_data/`, by TODO:

- 1 and 2: `producer.py`, one producer for all viewers, which runs while there are any
- 3 and 4: `snapshots.py`, a snapshot for each subscribe, joined ranges after it, and unsubscribe
- 5: `flow.py`, at most two unseen messages, and the newest values after them
- 6: `rates.py`, the messages a second of each viewer
- 7: `alerts.py`, which are never merged
- 8: `mirror.py`, a client that keeps a copy of the values
"""

from .live_data.alerts import Alerts
from .live_data.flow import Flow
from .live_data.mirror import Mirrors
from .live_data.producer import Life, Producer
from .live_data.rates import Rates
from .live_data.snapshots import Snapshots, Unsubscribe


# Checks of one TODO run in reverse order of these classes.
class TestExercise(Mirrors, Alerts, Rates, Flow, Unsubscribe, Snapshots, Life, Producer):
    """All checks of step 13."""

    least_patience = 2.0
    """Minimum timeout, in seconds: some of these checks wait for 30 samples, with 20 samples a second."""
    most_at_once = 6
    """Checks that run at a time in the run that decides. Most of them start a server, and count samples."""
