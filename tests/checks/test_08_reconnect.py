"""Step 08: the checks of the exercise. Those of each TODO are in a module of `tests/checks/reconnect/`.

The server:

1. `replay.py`: a member that rejoins gets the messages it missed
2. `keys.py`: acknowledgements, and idempotency keys
3. `journal.py`: a journal that survives a kill

The client:

4. `client.py`, with `silence.py`: a client that reconnects, without losing or duplicating messages
5. `delays.py`: the client's delays before each attempt to connect
6. `fatal_errors.py`: fatal errors stop the client, and no others do

Both:

7. `kills.py`: server and clients together, while the server is killed repeatedly
"""

from .reconnect.client import ReconnectingClient
from .reconnect.delays import Delays
from .reconnect.fatal_errors import FatalErrors
from .reconnect.journal import Journal
from .reconnect.keys import Keys
from .reconnect.kills import Kills
from .reconnect.replay import Replay


class TestExercise(Replay, Keys, Journal, ReconnectingClient, Delays, FatalErrors, Kills):
    """All checks of step 08."""
