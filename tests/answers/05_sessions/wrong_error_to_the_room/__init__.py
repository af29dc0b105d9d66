"""The error about a bad frame is told to the whole room.

Refused by: test_bad
Says: the error goes to others too
"""
