"""Each process remembers the keys that it has seen.

Refused by: test_key, test_restarted
Says: the keys are known in Redis
"""
