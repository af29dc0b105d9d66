"""The count is kept with the members, and goes with the last of them.

Refused by: test_ids
Says: ids 1, 2, 3, ... in each room
"""
