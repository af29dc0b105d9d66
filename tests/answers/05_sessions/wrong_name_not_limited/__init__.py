"""A name may be as long as it likes.

Refused by: test_names
Says: refuses it before the endpoint runs
"""
