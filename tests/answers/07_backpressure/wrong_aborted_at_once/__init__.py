"""A dropped member is aborted at once, and never learns why.

Refused by: test_reads_again
Says: give the member half a second
"""
