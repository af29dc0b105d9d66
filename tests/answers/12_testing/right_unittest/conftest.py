"""Step 12: no fixtures. The tests are those of unittest; the module `server` starts the server."""
