"""The acknowledgement goes to the whole room.

Refused by: test_ack
Says: the ack goes to the socket that sent the message
"""
