"""Step 08: the checks of the exercise. Those of each TODO are in a module of `tests/checks/reconnect/`:

1. `replay.py`: a member that rejoins gets the messages it missed
2. `keys.py`: acknowledgements, and idempotency keys
3. `journal.py`: a journal that survives a kill; `journal_lines.py`, what the lines of its file show
"""

from .reconnect.journal import Journal
from .reconnect.keys import Keys
from .reconnect.replay import Replay


class TestExercise(Replay, Keys, Journal):
    """All checks of step 08."""
