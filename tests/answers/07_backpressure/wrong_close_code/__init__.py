"""A member that is too slow is closed with 1008, as one that was removed.

Refused by: test_reads_again
Says: closed, code 1008
"""
