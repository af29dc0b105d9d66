"""For browsers the token is taken from the query as well.

Refused by: test_refused
Says: a token in the query is in every log on the way
"""
