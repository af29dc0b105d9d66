"""A server that dies in the handshake ends the client.

Refused by: test_delays
Says: when the server dies in the handshake
"""
