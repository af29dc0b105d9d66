"""When a token expires, all sockets of its user are closed, those of a newer token too.

Refused by: test_expires
Says: on the socket of a newer token
"""
