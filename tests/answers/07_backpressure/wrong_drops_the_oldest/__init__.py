"""When the backlog is full, the oldest message makes room. The member stays, and misses some.

Refused by: test_stuck
Says: what waits for a member has no limit, or a full one loses messages
"""
