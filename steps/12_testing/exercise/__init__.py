"""The tests of step 12, and the server that they test."""
