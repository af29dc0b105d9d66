"""When a process is gone, its room is emptied, and whoever lives signs in again.

Refused by: test_killed
Says: and no other
"""
