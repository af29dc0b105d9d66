"""Each tab has a queue and a task that empties it; all changes are made without an await."""
