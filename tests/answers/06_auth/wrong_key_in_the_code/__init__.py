"""The key has a default, which is in the code and so everybody knows it.

Refused by: test_run_before
Says: the key is the same at each start
"""
