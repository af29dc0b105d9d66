"""Task groups and cancel scopes of anyio, and a log in a temporary folder of pytest."""
