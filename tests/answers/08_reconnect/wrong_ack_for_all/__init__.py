"""The acknowledgement goes to the whole room.

Refused by: test_ack
Says: key is no part of what others get
"""
