"""Whom to tell is looked up after something else was waited for: a member that is on the list is announced again.

Refused by: test_at_once
Says: the list and the notices overlap
"""
