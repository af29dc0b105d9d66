"""A member of two tabs counts as one session.

Refused by: test_sessions
Says: every open socket counts
"""
