"""A key with a time to live for each room and process says who is there; the time is the version."""
