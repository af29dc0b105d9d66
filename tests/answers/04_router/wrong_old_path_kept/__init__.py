"""The prefix is in the path of one route, and the old path is kept beside it for old clients.

Refused by: test_counts
Says: a path without the prefix of its router
"""
