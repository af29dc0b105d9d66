"""A router of routers for /api, and paths that are put together from three prefixes."""
