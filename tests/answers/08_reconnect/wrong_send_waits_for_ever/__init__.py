"""Whoever waits for an acknowledgement when the client ends waits for ever.

Refused by: test_ends, test_late
Says: let each send() raise ConnectionError
"""
