"""A queue for each listener: a task reads from it while its endpoint sends."""
