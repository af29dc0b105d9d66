"""A Redis that came back empty counts from 1 again.

Refused by: test_empty
Says: tell it the largest
"""
