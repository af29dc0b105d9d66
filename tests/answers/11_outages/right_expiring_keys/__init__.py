"""A key that expires is the lease of each process, and the time is the version of a list."""
