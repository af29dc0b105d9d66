"""A dropped member is closed, which waits for ever until it takes what is on the way.

Refused by: test_stuck
Says: the process still holds the socket
"""
