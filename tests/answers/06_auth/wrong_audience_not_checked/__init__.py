"""PyJWT refused the tokens for want of audience=, so the check was turned off.

Refused by: test_refused
Says: jwt.decode() gets audience='chat'
"""
