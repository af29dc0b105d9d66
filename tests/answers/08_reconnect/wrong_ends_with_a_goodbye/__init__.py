"""A close with 1000 is taken for the end.

Refused by: test_stops
Says: no reason to stop
"""
