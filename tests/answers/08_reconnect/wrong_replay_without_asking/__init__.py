"""Who comes without after= gets everything too.

Refused by: test_replay
Says: nothing is replayed
"""
