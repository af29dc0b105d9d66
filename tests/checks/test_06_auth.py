"""Step 06: the checks of the exercise. Those of each TODO are in a module of `tests/checks/auth/`:

1. `login.py`: names and passwords are exchanged for tokens
2. `tokens.py`: handshakes need a valid token
3. `tickets.py`: tickets, each for one handshake within its time
4. `permissions.py`: permissions in each room, and on the HTTP routes
5. `origins.py`: handshakes from foreign origins are refused
6. `expiry.py`: a connection is closed when its token expires
7. `logout.py`: a logout ends the user's connections, tokens and tickets

The classes `Hard...` of these modules have the hard cases.
"""

from .auth.expiry import Expiry, HardExpiry
from .auth.login import HardLogins, Login
from .auth.logout import HardLogouts, Logout
from .auth.origins import HardOrigins, Origins
from .auth.permissions import Permissions
from .auth.tickets import HardTickets, Tickets
from .auth.tokens import Tokens


class TestExercise(
    Login,
    Tokens,
    Tickets,
    Permissions,
    Origins,
    Expiry,
    Logout,
    HardLogins,
    HardTickets,
    HardOrigins,
    HardExpiry,
    HardLogouts,
):
    """All checks of step 06."""
