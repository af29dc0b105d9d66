"""A tab that sends while Redis is away is thrown out.

Refused by: test_empty
Says: the connection closed, code 1013
"""
