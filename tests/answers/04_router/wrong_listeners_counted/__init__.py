"""The listeners are kept as one more room, so that a broadcast reaches them, and the lobby counts them.

Refused by: test_announcements
Says: no entry for "announcements"
"""
