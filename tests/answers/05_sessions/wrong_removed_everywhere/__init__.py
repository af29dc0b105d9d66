"""DELETE removes the name from every room.

Refused by: test_remove
Says: in other rooms are removed too
"""
