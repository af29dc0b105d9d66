"""A stop throws away what nobody has taken yet.

Refused by: test_late
Says: a stop loses nothing
"""
