"""Each module has a dict of its own, so the lobby counts rooms that nobody ever enters.

Refused by: test_counts
Says: each module has rooms of its own
"""
