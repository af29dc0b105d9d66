"""A silent member is closed after more than five intervals.

Refused by: test_silence
Says: later than four intervals
"""
