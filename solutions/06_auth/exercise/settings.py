"""Step 06, solution: settings, read from the environment when the server starts."""

import os
import secrets


def setting(name: str, default: str) -> str:
    """Return an environment variable, or the default if it's unset or empty: anyone could guess an empty key."""
    return os.environ.get(name) or default


# Unset, each start generates a new key, so earlier tokens become invalid.
SECRET_KEY = setting("SECRET_KEY", secrets.token_urlsafe(32))
TOKEN_SECONDS = float(setting("TOKEN_SECONDS", "900"))
TICKET_SECONDS = float(setting("TICKET_SECONDS", "30"))
ALLOWED_ORIGINS = setting("ALLOWED_ORIGINS", "http://127.0.0.1:8000,http://localhost:8000").split(",")
