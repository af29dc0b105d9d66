"""An accepted handshake sets the delay back.

Refused by: test_delays
Says: a handshake alone does not reset it
"""
