"""A line for the log, to see who buys tickets.

Refused by: test_log
Says: the access token in the server
"""
