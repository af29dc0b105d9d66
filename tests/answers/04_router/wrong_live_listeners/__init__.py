"""The loop runs over the living set of listeners, and one that leaves meanwhile ends it.

Refused by: test_slow_listeners
Says: loop over a copy
"""
