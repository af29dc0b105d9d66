"""Origins are compared from the beginning, as if they were paths.

Refused by: test_origins
Says: compare the whole header
"""
