"""Keys are kept with the connection, so a retry after a reconnect is passed on again.

Refused by: test_once
Says: the key of a sender in a room stands for one message
"""
