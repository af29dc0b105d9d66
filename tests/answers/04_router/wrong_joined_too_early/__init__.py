"""A member is announced before it is in its room.

Refused by: test_slow_listeners
Says: the announcement comes before the room has changed
"""
