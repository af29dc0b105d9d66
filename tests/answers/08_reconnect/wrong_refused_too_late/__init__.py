"""A wrong id is refused after the handshake was accepted.

Refused by: test_refused
Says: refuse it before accept
"""
