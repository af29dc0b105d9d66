"""No key has a room in it, so that all rooms are one.

Refused by: test_everybody
Says: rooms know nothing of each other
"""
