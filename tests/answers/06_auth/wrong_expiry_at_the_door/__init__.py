"""A token is looked at in the handshake, and never again.

Refused by: test_expires
Says: the socket still open
"""
