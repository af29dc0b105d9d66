"""The delay only ever grows.

Refused by: test_reset
Says: n is 0 again
"""
