"""Step 05: the checks of the exercise. Those of each TODO are in a module of `tests/checks/sessions/`:

1. `presence.py`: names, the presence snapshot for a new tab, and join and leave events for the others
2. `messages.py`: messages to the room, and errors
3. `direct.py`: direct messages
4. `tabs.py`: one name in several tabs
5. `listing.py`: the names of a room over HTTP
6. `removal.py`: DELETE removes a member
7. `counts.py`: no session, room or task is left over, however a connection ends
"""

from .sessions.counts import Counts
from .sessions.direct import Direct
from .sessions.listing import Listing
from .sessions.messages import Messages
from .sessions.presence import Presence
from .sessions.removal import Removal
from .sessions.tabs import Tabs


class TestExercise(Presence, Messages, Direct, Tabs, Listing, Removal, Counts):
    """All checks of step 05."""

    leaving = 7
