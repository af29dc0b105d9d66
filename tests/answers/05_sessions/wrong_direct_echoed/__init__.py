"""The sender gets a copy of its direct message.

Refused by: test_direct
Says: the sender gets a copy of its direct messages
"""
