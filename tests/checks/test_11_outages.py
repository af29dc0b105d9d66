"""Step 11: the checks of the exercise. They are in the modules of `tests/checks/outages/`, by TODO:

- 1: `step_10.py`, the checks of step 10 again
- 2: `presence.py`, one list of members for all processes
- 3: `leases.py`, the members of a process that was killed; `networks.py`, a slow network between a process and Redis
- 4: `unavailable.py`, errors instead of silence while Redis is unavailable
- 5: `outages.py`, the guarantees after an outage; `error_replies.py`, error replies of Redis; `networks.py`, a
  half-open network; `restarts.py`, the client of step 09 during outages; `grace.py`, hard cases
"""

from .outages.error_replies import ErrorReplies
from .outages.grace import Grace
from .outages.leases import Leases
from .outages.networks import Networks
from .outages.outages import Outages
from .outages.presence import Presence
from .outages.restarts import Restarts
from .outages.step_10 import StepTen
from .outages.unavailable import Unavailable


# Checks of one TODO run in reverse order of these classes.
class TestExercise(StepTen, Restarts, Networks, ErrorReplies, Outages, Unavailable, Leases, Presence, Grace):
    """All checks of step 11."""

    least_patience = 1.5
    """Minimum timeout, in seconds: in parallel, the checks of this step keep twenty processes busy. A right answer
    that's late once is judged again check by check, which takes several times as long."""
