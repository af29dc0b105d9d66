"""The token says which algorithm to use, and not every error of PyJWT is an InvalidTokenError.

Refused by: test_refused
Says: with a token that says alg: none
"""
