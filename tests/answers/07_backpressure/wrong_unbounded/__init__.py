"""Nothing limits what waits for a tab, so a member that never reads fills the memory.

Refused by: test_stuck
Says: what waits for a member has no limit
"""
