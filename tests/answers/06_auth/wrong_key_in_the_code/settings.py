"""Settings, read from the environment when the server starts."""

import os


def setting(name: str, default: str) -> str:
    """A variable of the environment. An empty one counts as unset: an empty key would be everybody's key."""
    return os.environ.get(name) or default


SECRET_KEY = setting("SECRET_KEY", "change me before this goes live!")
TOKEN_SECONDS = float(setting("TOKEN_SECONDS", "900"))
TICKET_SECONDS = float(setting("TICKET_SECONDS", "30"))
ALLOWED_ORIGINS = setting("ALLOWED_ORIGINS", "http://127.0.0.1:8000,http://localhost:8000").split(",")
