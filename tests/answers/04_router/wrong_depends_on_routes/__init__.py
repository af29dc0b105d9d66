"""Each socket asks for the name itself, and one that is added later does not.

Refused by: test_names
Says: the dependency is on single routes
"""
