"""Task groups and cancel scopes of anyio, with one event loop for all tests and for the server's process."""
