"""The judge of a test suite: it runs the suite against right and broken servers."""
