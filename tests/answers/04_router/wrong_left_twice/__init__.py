"""A member whose send failed is announced as left by the broadcast, and once more by its own endpoint.

Refused by: test_announcements
Says: exactly once, however it went
"""
