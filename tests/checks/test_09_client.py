"""Step 09: the checks of the exercise. Those of each TODO are in a module of `tests/checks/client/`:

1. `resume.py`: a client that resumes and resends, and loses and duplicates nothing; `values.py`: texts of every class,
   URLs, and several clients of one program
2. `limits.py`: its limits for unacknowledged messages and for its inbox
3. `silence.py`: networks that deliver nothing, and close no connection
4. `delays.py`: its delays before each attempt to connect
5. `fatal_errors.py`: fatal errors stop it, and transient errors don't
6. `kills.py`: server and clients together, while the server is killed repeatedly

`sent.py` has readers for several of them.
"""

from .client.delays import Delays
from .client.fatal_errors import FatalErrors
from .client.kills import Kills
from .client.limits import Limits
from .client.resume import Resume
from .client.silence import Silence
from .client.values import Values


class TestExercise(Values, Resume, Limits, Silence, Delays, FatalErrors, Kills):
    """All checks of step 09."""
