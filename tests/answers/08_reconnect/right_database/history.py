"""Step 08: nothing. The database has the history."""
