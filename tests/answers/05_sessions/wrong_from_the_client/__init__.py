"""The client says who it is in each message.

Refused by: test_message
Says: what the client wrote besides type and text
"""
