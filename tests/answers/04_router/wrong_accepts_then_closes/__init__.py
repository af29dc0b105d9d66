"""The dependency accepts the socket, so that a visitor without a name can be closed with 1008.

Refused by: test_names
Says: the socket accepted
"""
