"""One count for all rooms.

Refused by: test_ids
Says: each room counts for itself
"""
