"""Logins and logouts are noted in whole seconds, and a login in the second of a logout counts as an old one.

Refused by: test_same_second
Says: what is noted is in whole seconds
"""
