"""A task watches each tab, and nobody ends it.

Refused by: test_sessions
Says: a task was started for a member and nobody ends it
"""
