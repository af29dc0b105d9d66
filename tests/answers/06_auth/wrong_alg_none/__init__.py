"""Tokens are read by hand, and one that says it has no signature is taken without one.

Refused by: test_refused
Says: the algorithm is yours to say, not the token's
"""
