"""A key may be as long as it likes, and empty.

Refused by: test_ack
Says: a key is a text of 1 to 64 characters
"""
