"""The delay is always the whole.

Refused by: test_delays
Says: the delay is random
"""
