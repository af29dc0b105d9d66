"""The socket is accepted first, so that the client sees 4401.

Refused by: test_refused
Says: the socket accepted
"""
