"""A direct message looks for the name in all rooms.

Refused by: test_direct
Says: other rooms are searched
"""
