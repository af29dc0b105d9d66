"""Whoever sends the message at which a member is dropped waits until that member is closed.

Refused by: test_nobody_waits
Says: a send to the member that does not read is awaited
"""
